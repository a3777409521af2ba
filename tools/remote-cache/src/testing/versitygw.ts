import { join } from 'node:path';
import { buildPrograms } from '@sovereign/go';
import { hostArch } from '@sovereign/tools';

/**
 * Path of versitygw, a real S3 server over a folder. Built once from its pinned module, which takes minutes, and kept
 * outside the checkout by content.
 */
export async function versitygwProgram(): Promise<string> {
  const name = 'versitygw';
  const folder = await buildPrograms({
    module: join(import.meta.dirname, '../../versitygw'),
    programs: [{ name, package: 'github.com/versity/versitygw/cmd/versitygw', arch: hostArch() }],
  });
  return join(folder, name);
}
