import type { PromiseExecutor } from '@nx/devkit';
import { mirrorHosts } from '@sovereign/base';
import { runChecks, type CheckResult } from '@sovereign/checks';
import { selectDevice } from '@sovereign/device';
import { SovereignError } from '@sovereign/report';
import { loadService } from '@sovereign/service';
import { canonicalJson, writeFileAtomic } from '@sovereign/store';
import { announced } from '../lib/announced.ts';
import { projectFolder } from '../lib/project.ts';

interface Options {
  device?: string;
  output?: string;
}

/** Runs the live checks of a service on a device; fails when one of them does. */
const verify: PromiseExecutor<Options> = async ({ device: serial, output }, context) => {
  const { definition } = await loadService(projectFolder(context));
  const device = await selectDevice({ serial, services: [definition.name] });
  const checks = await runChecks(device, definition, { lookupNames: await mirrorHosts() });
  const count = (result: CheckResult['result']) => checks.filter((check) => check.result === result).length;
  const failed = checks.filter(({ result }) => result === 'fail');
  const summary = { passed: count('pass'), failed: failed.length, skipped: count('skip') };
  if (output !== undefined) {
    await writeFileAtomic(
      output,
      canonicalJson({ device: device.id, service: definition.name, ...summary, checks }),
    );
  }
  if (failed.length === 0) return { success: true };
  throw new SovereignError({
    code: 'checks-failed',
    what: `${failed.length} of ${checks.length} checks failed: ${failed.map(({ name }) => name).join(', ')}`,
    on: `${definition.name} on ${device.id}`,
    hint: 'Each says above what it saw; ./sovereign logs shows what the guest says',
    exit: 3,
  });
};

export default announced(verify);
