/** What this library needs of the tool root; `@sovereign/tools` has it. */
export interface ToolRunner {
  /** Stands for every tool inside, in cache keys. */
  readonly digest: string;
  run(
    argv: readonly string[],
    options?: {
      binds?: readonly { source: string; target: string; write?: boolean }[];
      env?: Readonly<Record<string, string>>;
      cwd?: string;
      onLine?: (line: string) => void;
      stdio?: 'pipe' | 'inherit';
    },
  ): Promise<void>;
}
