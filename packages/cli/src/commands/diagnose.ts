import { mirrorHosts } from '@sovereign/base';
import type { Device } from '@sovereign/device';
import type { Diagnosis, LayerResult, Target } from '@sovereign/diagnose';
import { announce, theService } from '../device.ts';
import type { Run } from '../session.ts';

/** The control server of a tailnet whose settings name no other. */
const CONTROL = 'https://controlplane.tailscale.com';
/** A name that is reserved for documentation: asked for where nothing better is known. */
const DOCUMENTATION_NAME = 'example.com';

export const diagnose: Run = async (session) => {
  const { own } = session;
  const { definition } = theService(session);
  const device = await session.devices.pick();
  if (own.fix === true) announce(device);
  const library = await import('@sovereign/diagnose');
  const document = await library.diagnose(device, definition, {
    fix: own.fix === true,
    targets: () => targetsOf(device),
  });
  return { json: document, text: describeDiagnosis(document), exit: diagnosisExit(document) };
};

/** What a guest should reach: its tailnet's control server above all, else what this workstation itself fetches from. */
export async function targetsOf(device: Device, mirrors = mirrorHosts): Promise<Target[]> {
  const tailnet = await device.tailnet.settings();
  const control = tailnet === undefined ? [] : [new URL(tailnet.server ?? CONTROL)];
  return [
    ...control.map(({ hostname, port, protocol }) => ({
      host: hostname,
      port: Number(port || (protocol === 'http:' ? 80 : 443)),
    })),
    ...[...(await mirrors()), DOCUMENTATION_NAME].map((host) => ({ host, port: 443 })),
  ];
}

/** 4 where the device was not reached, 3 where a layer fails. */
export const diagnosisExit = ({ ok, reached }: Diagnosis): 0 | 3 | 4 => {
  if (!reached) return 4;
  return ok ? 0 : 3;
};

export function describeDiagnosis({ device, service, failed, layers }: Diagnosis): string {
  const skipped = layers.filter(({ result }) => result === 'skipped').length;
  const left = skipped === 0 ? '' : `; ${skipped} not counted: off, or not to be told from here`;
  return [
    ...layers.flatMap(describeLayer),
    failed === null
      ? `${service} on ${device}: every layer is well${left}`
      : `${service} on ${device}: ${failed} fails; what is above it was not asked`,
  ].join('\n');
}

const words: Record<LayerResult['result'], string> = { ok: 'ok', failed: 'FAILED', skipped: '-' };

function describeLayer({ name, result, evidence, asked, cure, fixed }: LayerResult): string[] {
  const indent = ''.padEnd(19);
  return [
    `${words[result].padEnd(7)} ${name.padEnd(10)} ${evidence}`,
    ...(fixed === undefined ? [] : [`${indent}done: ${fixed}`]),
    ...(result === 'failed' ? [`${indent}asked: ${asked}`] : []),
    ...(cure === undefined ? [] : [`${indent}cure: ${cure}`]),
  ];
}
