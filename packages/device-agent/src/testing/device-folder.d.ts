/** The shells and tools that the launcher has to run under; `toybox` has nothing else in its PATH. */
export declare const shells: {
  readonly dash: {
    readonly shell: '/usr/bin/dash';
    readonly toybox: false;
  };
  readonly mksh: {
    readonly shell: '/usr/bin/mksh';
    readonly toybox: false;
  };
  readonly 'busybox ash': {
    readonly shell: '/usr/bin/busybox';
    readonly toybox: false;
  };
  readonly 'mksh with toybox': {
    readonly shell: '/usr/bin/mksh';
    readonly toybox: true;
  };
};
export type Shell = keyof typeof shells;
export interface Outcome {
  status: number;
  stdout: string;
  stderr: string;
}
/** A device's folder with one service called `sql`, whose VM is the stand-in. */
export declare class DeviceFolder {
  #private;
  readonly root: string;
  readonly service: string;
  constructor(shell: Shell);
  /** Writes a slot whose VM behaves in this way; `launch` replaces or adds lines of the plan. */
  slot(slot: 'a' | 'b', behaviour: string | string[], launch?: Record<string, string>): void;
  /** What the stand-in saw: one line a start and a verb. */
  journal(): string[];
  write(path: string, content: string): void;
  read(path: string): string | undefined;
  launch(...args: string[]): Promise<Outcome>;
  start: () => Promise<Outcome>;
  stop: (seconds: number) => Promise<Outcome>;
  status(): Promise<Record<string, string>>;
  /** Waits until the status has these values; fails with the last one seen. */
  until(wanted: Record<string, string | RegExp>, seconds?: number): Promise<Record<string, string>>;
  /** Ends whatever still runs in this folder and removes it. */
  remove(): Promise<void>;
}
/** True while the process exists and is no zombie. */
export declare function runs(pid: number): boolean;
