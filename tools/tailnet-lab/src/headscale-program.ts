import { join } from 'node:path';
import { buildPrograms } from '@sovereign/go';
import { hostArch } from '@sovereign/tools';

/**
 * Path of headscale, the control server that the lab stands in for Tailscale's own with. Built once from its pinned
 * module, which takes minutes, and kept outside the checkout by content.
 */
export async function headscaleProgram(): Promise<string> {
  const name = 'headscale';
  const folder = await buildPrograms({
    module: join(import.meta.dirname, '../headscale'),
    programs: [{ name, package: 'github.com/juanfont/headscale/cmd/headscale', arch: hostArch() }],
  });
  return join(folder, name);
}
