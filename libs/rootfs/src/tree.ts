import { createHash } from 'node:crypto';
import { open, type FileHandle } from 'node:fs/promises';
import { matchesGlob, posix } from 'node:path';
import { pipeline, type Readable, type Writable } from 'node:stream';
import { note, SovereignError } from '@sovereign/report';
import { extract, type Header } from 'tar-stream';
import type { TrimRule } from './rules.ts';

interface Owned {
  mode: number;
  uid: number;
  gid: number;
  /** Where it comes from; made by us where it is absent. */
  source?: 'package' | 'overlay';
  /** The package that it is from or of, where one is known. */
  package?: string | undefined;
}

/** What rules left out of packages, by rule and package. */
export interface Trimmed {
  rule: TrimRule;
  package: string | undefined;
  files: number;
  bytes: number;
}

/** Where the bytes of a file are: in memory, or in the spool. */
export type Content = Buffer | { offset: number; size: number };

/** Bytes of it. */
export const sizeOf = (content: Content): number =>
  Buffer.isBuffer(content) ? content.length : content.size;

export type Entry =
  | (Owned & { type: 'directory' })
  | (Owned & { type: 'file'; content: Content })
  | (Owned & { type: 'symlink'; target: string });

/** Numbers of the owners that packages call by name. */
export interface OwnerIds {
  users: ReadonlyMap<string, number>;
  groups: ReadonlyMap<string, number>;
}

/** What is known of a tar beside its bytes. */
export interface TarOptions {
  /** The package of an entry, by its name in the tar. */
  ownerOf?: ((name: string) => string | undefined) | undefined;
  /** Where the names of owners count and not the numbers. */
  ids?: OwnerIds | undefined;
}

/** Most bytes of a path and of a part of it that Linux takes (limits.h). */
const PATH_MAX = 4095;
const NAME_MAX = 255;

/** Folders that a merged /usr makes links of; what a package still ships below them lands behind the link. */
const merged = /^(bin|sbin|lib)\//;

/**
 * A root file system in the making: entries by path without a leading slash, bodies in a spool file, so that
 * memory stays small however large the packages are.
 */
export class Tree implements AsyncDisposable {
  readonly entries = new Map<string, Entry>();
  readonly #trimmed = new Map<TrimRule, Map<string | undefined, Trimmed>>();
  readonly #spool: FileHandle;
  #end = 0;

  private constructor(spool: FileHandle) {
    this.#spool = spool;
  }

  /** @param spoolPath a new file for bodies; the caller removes it */
  static async create(spoolPath: string): Promise<Tree> {
    const tree = new Tree(await open(spoolPath, 'wx+'));
    for (const name of ['bin', 'sbin', 'lib']) tree.link(name, `usr/${name}`);
    return tree;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#spool.close();
  }

  get trimmed(): Trimmed[] {
    return [...this.#trimmed.values()].flatMap((byPackage) => [...byPackage.values()]);
  }

  /**
   * Adds every entry of a tar; later entries replace earlier ones. What a rule trims is not even stored. Nothing is
   * written but the spool, so a link that leads out of the tree leads nowhere.
   * @throws SovereignError `bad-package` for a path, link, owner or type that no image can hold, or a damaged tar
   */
  async addTar(tar: Readable, trim: readonly TrimRule[], { ownerOf, ids }: TarOptions = {}): Promise<void> {
    const reader = extract();
    // Also where the source fails: `pipe` would leave the reader waiting for more.
    pipeline(tar, reader as unknown as Writable, () => undefined);
    const unknown = new Set<string>();
    try {
      for await (const entry of reader) {
        const { name, type, mode, linkname, size } = entry.header;
        const path = cleanPath(name);
        const rule = trim.find((one) => matches(path, one));
        const owner = ownerOf?.(name);
        if (rule !== undefined && type !== 'directory') this.#countTrimmed(rule, owner, size);
        if (path === '' || rule !== undefined) {
          entry.resume();
          continue;
        }
        const numbers = idsOf(entry.header, ids, unknown);
        const owned = { mode: mode & 0o7777, ...numbers, source: 'package' as const, package: owner };
        if (type === 'file') {
          this.entries.set(path, { type, ...owned, content: await this.#store(entry) });
          continue;
        }
        entry.resume();
        if (type === 'directory') this.directory(path, owned);
        else if (type === 'symlink' && linkname) this.#symlink(path, name, linkname, owned);
        else if (type === 'link' && linkname) this.#hardlink(path, cleanPath(linkname));
        else throw unsupported(path, type);
      }
    } catch (error) {
      throw error instanceof SovereignError || 'syscall' in (error as Error) ? error : damaged(error);
    }
    if (unknown.size > 0) {
      note(`owners that the image has no account for, in their place root: ${[...unknown].join(', ')}`);
    }
  }

  directory(path: string, owned: Partial<Owned> = {}): void {
    // A package may ship /lib as a folder where the merged tree has a link: what is below it is moved by cleanPath.
    if (this.entries.get(path)?.type === 'symlink') return;
    this.entries.set(path, { type: 'directory', mode: 0o755, uid: 0, gid: 0, ...owned });
  }

  file(path: string, content: string | Buffer, owned: Partial<Owned> = {}): void {
    this.entries.set(path, {
      type: 'file',
      mode: 0o644,
      uid: 0,
      gid: 0,
      ...owned,
      content: typeof content === 'string' ? Buffer.from(content) : content,
    });
  }

  link(path: string, target: string, owned: Partial<Owned> = {}): void {
    this.entries.set(path, { type: 'symlink', mode: 0o777, uid: 0, gid: 0, ...owned, target });
  }

  /** @param space what to read into where it has room, by a caller that is done with what it held */
  async read(content: Content, space?: Buffer): Promise<Buffer> {
    if (Buffer.isBuffer(content)) return content;
    const room = space !== undefined && space.length >= content.size;
    const buffer = room ? space.subarray(0, content.size) : Buffer.allocUnsafe(content.size);
    await this.#spool.read(buffer, 0, content.size, content.offset);
    return buffer;
  }

  /** Text of a file that has to be there. */
  async text(path: string): Promise<string> {
    const entry = this.entries.get(path);
    if (entry?.type !== 'file') throw missing(path);
    return (await this.read(entry.content)).toString('utf8');
  }

  /** SHA-256 of a file's content, for tests and reports. */
  async digest(path: string): Promise<string> {
    const entry = this.entries.get(path);
    if (entry?.type !== 'file') throw missing(path);
    return createHash('sha256')
      .update(await this.read(entry.content))
      .digest('hex');
  }

  /** Paths sorted bytewise, which also puts every folder before what is in it. */
  sortedPaths(): string[] {
    return [...this.entries.keys()].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  }

  /** Folders that something lies in but nobody made. */
  addMissingDirectories(): void {
    for (const path of [...this.entries.keys()]) {
      const parts = path.split('/');
      for (let length = 1; length < parts.length; length++) {
        const parent = parts.slice(0, length).join('/');
        const entry = this.entries.get(parent);
        if (entry === undefined) this.directory(parent);
        else if (entry.type !== 'directory') throw notAFolder(parent, entry.type, path);
      }
    }
  }

  #countTrimmed(rule: TrimRule, owner: string | undefined, size: number): void {
    const byPackage = this.#trimmed.get(rule) ?? new Map<string | undefined, Trimmed>();
    const count = byPackage.get(owner) ?? { rule, package: owner, files: 0, bytes: 0 };
    count.files += 1;
    count.bytes += size;
    this.#trimmed.set(rule, byPackage.set(owner, count));
  }

  /** A link says where it leads from the folder that it was packaged in, which the merged /usr may have moved. */
  #symlink(path: string, name: string, target: string, owned: Owned): void {
    if (target.length > PATH_MAX) throw impossible(target, 'a link that is longer than Linux takes');
    const packaged = posix.join('/', name);
    const meant = posix.resolve(posix.dirname(packaged), target);
    // `usr/bin/x -> /bin/x`: in the merged tree the two are one, and the link would replace it.
    if (meant.slice(1).replace(merged, 'usr/$1/') === path) return;
    const moved = packaged.slice(1) !== path && target.startsWith('..');
    this.entries.set(path, { type: 'symlink', ...owned, target: moved ? meant : target });
  }

  #hardlink(path: string, target: string): void {
    const entry = this.entries.get(target);
    if (entry?.type !== 'file') throw missing(target);
    this.entries.set(path, entry);
  }

  async #store(body: AsyncIterable<unknown>): Promise<Content> {
    const offset = this.#end;
    for await (const chunk of body as AsyncIterable<Buffer>) {
      await this.#spool.write(chunk, 0, chunk.length, this.#end);
      this.#end += chunk.length;
    }
    return { offset, size: this.#end - offset };
  }
}

/**
 * The path that an entry really has in the tree, without a leading slash.
 * @throws SovereignError for a path that leads out of the tree
 */
export function cleanPath(name: string): string {
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) throw impossible(name, 'a path that leads out of the root');
  const long = Buffer.byteLength(name) > PATH_MAX || parts.some((part) => Buffer.byteLength(part) > NAME_MAX);
  if (long) throw impossible(name, 'a path that is longer than Linux takes');
  return parts.join('/').replace(merged, 'usr/$1/');
}

/** Bits by which a program runs with the rights of its owner, and of its group (S_ISUID, S_ISGID). */
const SETUID = 0o4000;
const SETGID = 0o2000;

/**
 * Numbers of an entry's owner and group; a name that nobody has counts as root, as apk-extract(8) has it. Not where a
 * bit of the mode would hand the rights of that owner on: they were never meant to be root's.
 */
function idsOf(
  { name, mode, uid, gid, uname, gname }: Header,
  ids: OwnerIds | undefined,
  unknown: Set<string>,
): { uid: number; gid: number } {
  const found = (
    id: number,
    who: string,
    known: ReadonlyMap<string, number> | undefined,
    handsOn: number,
  ) => {
    if (!Number.isSafeInteger(id) || id < 0 || id >= 2 ** 32 - 1) {
      throw impossible(name, `an owner that no number is for: ${id}`);
    }
    if (known === undefined || who === '') return id;
    const number = known.get(who);
    if (number !== undefined) return number;
    if ((mode & handsOn) !== 0) throw withRightsOf(name, who, mode);
    unknown.add(who);
    return 0;
  };
  return { uid: found(uid, uname, ids?.users, SETUID), gid: found(gid, gname, ids?.groups, SETGID) };
}

/** What of a glob stands before its first special character: most paths fail there, at once. */
const literalStart = (glob: string): string => (/^[\w./-]*/.exec(glob)?.[0] ?? '').replace(/\/$/, '');

const matches = (path: string, { glob }: TrimRule): boolean =>
  path.startsWith(literalStart(glob)) && (matchesGlob(path, glob) || matchesGlob(path, `${glob}/**`));

const missing = (path: string) =>
  new SovereignError({
    code: 'missing-file',
    what: 'the image lacks a file that it needs',
    on: `/${path}`,
    hint: 'Check the packages of the service and the trim rules',
  });

const impossible = (on: string, what: string) =>
  new SovereignError({
    code: 'bad-package',
    what: `a package holds ${what}`,
    on: on.slice(0, 200),
    hint: 'Do not use this package; report it to its distribution',
  });

const withRightsOf = (name: string, who: string, mode: number) =>
  new SovereignError({
    code: 'unknown-owner',
    what: `a package holds a file of mode ${(mode & 0o7777).toString(8)} that hands on the rights of ${who}, whom the image does not know`,
    on: name.slice(0, 200),
    hint: 'Declare the account or the group in packages/guest/accounts.ts or the service definition, or trim the file',
  });

const damaged = (cause: unknown) =>
  new SovereignError({
    code: 'bad-package',
    what: `the files of the packages cannot be read: ${(cause as Error).message}`,
    hint: 'Build again; when it stays so, report it',
    cause,
  });

const notAFolder = (parent: string, type: string, path: string) =>
  new SovereignError({
    code: 'file-conflict',
    what: `/${parent} is a ${type}, but /${path} lies below it`,
    on: `/${parent}`,
    hint: 'Check the overlay against the packages',
  });

const unsupported = (path: string, type: string) =>
  new SovereignError({
    code: 'bad-package',
    what: `a package holds an entry of type ${type}`,
    on: `/${path}`,
    hint: 'Images take files, folders and links; declare what else is needed in the guest',
  });
