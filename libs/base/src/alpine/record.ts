import { SovereignError } from '@sovereign/report';
import { z } from 'zod';
import { badPackage } from './bad-package.ts';

/** What apko leaves beside the root file system (tools/apko/module/main.go). */
const recordSchema = z.object({
  entries: z
    .array(
      z.object({
        package: z.string(),
        path: z.string(),
        /** As in the header of a tar. */
        type: z.string(),
        link: z.string(),
        mode: z.int(),
        user: z.string(),
        group: z.string(),
      }),
    )
    .nullable(),
  installed: z.string(),
});

/** Types of a tar's entries (pax(1), "ustar"), as far as they matter. */
const types: Readonly<Record<string, ApkEntry['type']>> = { 1: 'link', 5: 'directory' };

/** Header of a package's file as abuild wrote it: owners by name. */
export interface ApkEntry {
  /** Name of the package. */
  package: string;
  path: string;
  type: 'directory' | 'link' | 'other';
  mode: number;
  user: string;
  group: string;
}

export interface ApkoRecord {
  /** What the packages hold, in the order of their installation. */
  entries: ApkEntry[];
  /** The package of every file by its path, as apko decided where several bring it. */
  owners: Map<string, string>;
}

/**
 * Reads what apko says of what it unpacked.
 * @throws SovereignError `bad-package` for a path that leads out of the image, `apko-output` for what is not understood
 */
export function readRecord(text: string): ApkoRecord {
  const { entries, installed } = parse(text);
  return {
    entries: (entries ?? []).map(({ type, link, ...entry }) => {
      const leads = [entry.path, ...(types[type] === 'link' ? [link] : [])].find(leadsOut);
      if (leads !== undefined) {
        throw badPackage(entry.package, `it holds a path that leads out: ${leads.slice(0, 200)}`);
      }
      return { ...entry, type: types[type] ?? 'other' };
    }),
    owners: readOwners(installed),
  };
}

function parse(text: string): z.output<typeof recordSchema> {
  try {
    return recordSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new SovereignError({
      code: 'apko-output',
      what: 'apko left no record of what it unpacked, or one that is not understood',
      hint: 'Report this',
      cause,
    });
  }
}

/** apk takes no such path either (apk-tools, src/database.c). */
const leadsOut = (path: string): boolean => path.startsWith('/') || path.split('/').includes('..');

/** Of apk's database of what is installed (apk-tools, src/database.c). */
function readOwners(installed: string): Map<string, string> {
  const owners = new Map<string, string>();
  let owner = '';
  let inside = '';
  for (const line of installed.split('\n')) {
    const value = line.slice(2);
    if (line.startsWith('P:')) owner = value;
    else if (line.startsWith('F:')) inside = value;
    else if (line.startsWith('R:')) owners.set(inside === '' ? value : `${inside}/${value}`, owner);
  }
  return owners;
}
