import type { Host } from './host.ts';

/** Writes a small file of the device only where its content is another one; false where it was this one. */
export async function writeIfChanged(host: Host, path: string, content: string): Promise<boolean> {
  if ((await host.read(path))?.toString() === content) return false;
  await host.write(path, content);
  return true;
}
