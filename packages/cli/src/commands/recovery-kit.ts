import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { note, SovereignError, step } from '@sovereign/report';
import { writeFileAtomic } from '@sovereign/store';
import { askSecret, confirm } from '../ask.ts';
import { deviceLibrary } from '../device.ts';
import type { Run, Session } from '../session.ts';

export const exportKit: Run = async (session) => {
  const { file, passphraseFile } = words(session);
  const { kitFiles, sealKit } = await deviceLibrary();
  const files = await kitFiles();
  const devices = devicesOf(files.keys());
  const what = `write what is known of ${count(devices.length)} to ${file}`;
  if (session.flags.dryRun === true) return { json: { plan: [what] }, text: what };
  if (existsSync(file)) await confirm(session, `replace ${file}`, 'secrets export');
  const passphrase = await askSecret(session, 'passphrase', passphraseFile);
  const kit = await step('encrypt', () => sealKit(files, passphrase));
  await writeFileAtomic(file, kit, 0o600);
  return {
    json: { file, devices, files: files.size },
    text: `${file} holds ${count(devices.length)}; keep it on another machine, and the passphrase elsewhere`,
  };
};

export const importKit: Run = async (session) => {
  const { file, passphraseFile } = words(session);
  const library = await deviceLibrary();
  const kit = await readFile(file).catch((cause: unknown) => {
    throw new SovereignError({ code: 'usage', what: 'this file cannot be read', on: file, exit: 2, cause });
  });
  const passphrase = await askSecret(session, 'passphrase', passphraseFile, { twice: false });
  const files = await step('decrypt', () => library.openKit(kit, passphrase, file));
  const { missing, differing } = await library.compareKit(files);
  const devices = devicesOf(files.keys());
  const document = { devices, missing, differing };
  if (session.flags.dryRun === true) {
    const plan = [...missing.map((path) => `add ${path}`), ...differing.map((path) => `replace ${path}`)];
    return { json: { plan }, text: plan.join('\n') };
  }
  if (missing.length + differing.length === 0) {
    return { json: document, text: `nothing to take over: all of ${file} is here` };
  }
  if (differing.length > 0) {
    note('here is another one, which may be newer than the kit’s:');
    for (const path of differing) note(`  ${path}`);
    await confirm(session, `replace ${differing.length} files by those of the kit`, 'secrets import');
  }
  await library.importKit(files);
  return {
    json: document,
    text: `taken over: ${count(devices.length)}${differing.length === 0 ? '' : '; what was here before is kept as devices.before-import'}`,
  };
};

function words({ words: [file = ''], own }: Session): { file: string; passphraseFile: string | undefined } {
  const { passphraseFile } = own;
  return {
    file: resolve(file),
    passphraseFile: typeof passphraseFile === 'string' ? passphraseFile : undefined,
  };
}

/** Beside the devices lies what belongs to all of them. */
const devicesOf = (paths: Iterable<string>): string[] =>
  [...new Set([...paths].flatMap((path) => path.split('/')[1] ?? []))].filter((name) => name !== 'backup');

const count = (devices: number): string => `${devices} device${devices === 1 ? '' : 's'}`;
