import { describeSize, type ServiceStatus } from '@sovereign/device';
import type { Run } from '../session.ts';
import { statusDocument, type StatusDocument } from '../status-document.ts';
import { describeTailnet } from '../tailnet-text.ts';

export const status: Run = async (session) => {
  const { flags, chosen, named } = session;
  const devices = flags.serial === undefined ? await session.devices.used() : [await session.devices.pick()];
  const document = await statusDocument(devices, chosen);
  // Without a service it is a glance; with one it is a question that has to be answered with yes.
  return {
    json: document,
    text: describeStatus(document),
    exit: named ? healthExit(document, chosen.length) : 0,
  };
};

/** 0 where every service that was asked about is healthy somewhere; unknown is not. */
export function healthExit({ devices }: StatusDocument, asked: number): 0 | 3 | 4 {
  if (devices.length > 0 && devices.every(({ reachable }) => !reachable)) return 4;
  const healthy = new Set(
    devices.flatMap(({ services }) => services.filter((s) => s.healthy === true).map((s) => s.name)),
  );
  return healthy.size === asked ? 0 : 3;
}

export function describeStatus({ devices }: StatusDocument): string {
  return devices
    .flatMap(({ id, kind, reachable, services }) => [
      `${id} (${kind === 'local' ? 'this machine' : 'phone'}${reachable ? '' : ', not reached'})`,
      ...services.flatMap(describeService),
    ])
    .join('\n');
}

function describeService(service: ServiceStatus): string[] {
  const {
    name,
    state,
    healthy,
    release,
    slot,
    trial,
    since,
    restarts,
    endpoints,
    data,
    memory,
    tailnet,
    attention,
  } = service;
  const health = { true: 'healthy', false: 'not healthy', null: 'health unknown' }[`${healthy}`];
  const facts = [
    ...(release === null
      ? []
      : [
          `release ${release.slice(0, 12)}${slot === null ? '' : ` in slot ${slot}`}${trial ? ' on trial' : ''}`,
        ]),
    ...(since === null ? [] : [`since ${since}`]),
    ...(restarts === 0 ? [] : [`restarts: ${restarts}`]),
  ];
  return [
    `  ${name.padEnd(12)} ${state}${state === 'running' || state === 'starting' ? `, ${health}` : ''}`,
    ...(facts.length === 0 ? [] : [`  ${''.padEnd(12)} ${facts.join(', ')}`]),
    ...endpoints.map(
      ({ name: port, url, via }) =>
        `  ${''.padEnd(12)} ${port}${via === undefined ? '' : `, ${via}`}: ${url}`,
    ),
    ...(data === undefined ? [] : [`  ${''.padEnd(12)} data: ${describeSpace(data)}`]),
    ...(memory === undefined ? [] : [`  ${''.padEnd(12)} memory: ${describeMemory(memory)}`]),
    ...(tailnet === undefined ? [] : [`  ${''.padEnd(12)} tailnet: ${describeTailnet(tailnet)}`]),
    ...(attention === undefined ? [] : [`  ${''.padEnd(12)} ! ${attention}`]),
  ];
}

const describeMemory = ({ size, held }: NonNullable<ServiceStatus['memory']>): string =>
  `${mebibytes(held)} MiB held by a machine of ${describeSize(size)}`;

/** A thin disk is promised no more of the device than it takes by now. */
const describeSpace = ({ size, free, thin }: NonNullable<ServiceStatus['data']>): string =>
  `${mebibytes(free)} MiB free of ${describeSize(size)}` +
  (thin === undefined ? '' : `; thin, takes ${mebibytes(thin)} MiB of the device`);

const mebibytes = (bytes: number): number => Math.floor(bytes / 2 ** 20);
