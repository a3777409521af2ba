/** Files that an image leaves out, because a server never uses them. */
export interface TrimRule {
  /** Glob over paths without a leading slash, as node:path's matchesGlob takes it; a folder takes all below it. */
  glob: string;
  reason: string;
}

/** Files of packages that an image holds in part. */
export interface RewriteRule {
  /** As in a trim rule. */
  glob: string;
  reason: string;
  /** Pure: the same content gives the same result. */
  rewrite: (content: Buffer) => Buffer;
}

/**
 * What stands in for the install scripts of one package, none of which is ever run: the links that they would have
 * made, or the reason why nothing is needed.
 */
export interface ScriptEffect {
  package: string;
  /** Why nothing, or nothing but `links`, is needed. */
  reason: string;
  /** Symbolic links by path without a leading slash. */
  links?: Readonly<Record<string, string>>;
  /**
   * SHA-256 of every text that this is true of, by the script's name; another text, and a script that is not named,
   * is refused. Not given: true of whatever scripts the package has.
   */
  scripts?: Readonly<Record<string, readonly string[]>>;
}

/** An account of the guest; ids are fixed by us and the same on every base. */
export interface Account {
  name: string;
  uid: number;
  gid: number;
  home: string;
  shell: string;
}

/** A group that is no account's own. */
export interface Group {
  name: string;
  gid: number;
  members?: readonly string[];
}

/** A file that no package and no overlay brings: generated from the service definition, or built. */
export interface GeneratedFile {
  /** Path without a leading slash. */
  path: string;
  content: string | Buffer;
  /** Permission bits; 0644 where not given. */
  mode?: number;
}
