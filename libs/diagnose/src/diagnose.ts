import { setTimeout as sleep } from 'node:timers/promises';
import { databaseOf } from '@sovereign/checks';
import type { Device } from '@sovereign/device';
import { note, step, toSovereignError } from '@sovereign/report';
import type { ServiceDefinition } from '@sovereign/service';
import type { Finding, Layer, LayerName } from './contract.ts';
import { layers } from './layers/index.ts';
import { thisWorkstation, type Target } from './outside.ts';
import { Scene } from './scene.ts';

/** `diagnose --json`; docs/diagnose.md. */
export interface Diagnosis {
  device: string;
  service: string;
  /** Whether the device could be asked at all. */
  reached: boolean;
  /** Every layer that applies is well. */
  ok: boolean;
  /** The layer that failed first; none after it was asked. */
  failed: LayerName | null;
  layers: LayerResult[];
}

export interface LayerResult {
  name: LayerName;
  result: Finding['result'];
  asked: string;
  evidence: string;
  cure?: string;
  /** What `--fix` did here; the result is that of after. */
  fixed?: string;
  ms: number;
}

export interface DiagnoseOptions {
  /** Do what is safe to do. */
  fix?: boolean;
  /** Servers outside that a guest should reach, in the order to try. */
  targets?: () => Promise<readonly Target[]>;
}

/** Milliseconds that a cure has to show, and between two looks at it. */
const CURE = { deadline: 40_000, interval: 1000 };

/** Asks one layer after the other, and stops at the first that fails. */
export function diagnose(
  device: Device,
  definition: ServiceDefinition,
  { fix = false, targets = () => Promise.resolve([]) }: DiagnoseOptions = {},
): Promise<Diagnosis> {
  const database = databaseOf(device, definition);
  const scene = new Scene({ device, definition, database, targets, workstation: thisWorkstation });
  return diagnoseScene(scene, { fix });
}

/** The same, of a scene that is given. */
export async function diagnoseScene(
  scene: Scene,
  { fix, cure = CURE }: { fix: boolean; cure?: typeof CURE },
): Promise<Diagnosis> {
  const results: LayerResult[] = [];
  for (const layer of layers) {
    const result = await step(`ask ${layer.name}`, async (handle) => {
      const one = await askLayer(layer, scene, fix ? cure : undefined);
      handle.detail(`${one.result}: ${one.evidence}`);
      return one;
    });
    results.push(result);
    if (result.result === 'failed') break;
  }
  const failure = results.find(({ result }) => result === 'failed')?.name ?? null;
  return {
    device: scene.device.id,
    service: scene.definition.name,
    reached: await scene.inspection().then(
      () => true,
      () => false,
    ),
    ok: failure === null,
    failed: failure,
    layers: results,
  };
}

async function askLayer(layer: Layer, scene: Scene, cure: typeof CURE | undefined): Promise<LayerResult> {
  const started = performance.now();
  let finding = await ask(layer, scene);
  let fixed: string | undefined;
  if (finding.result === 'failed' && finding.fix !== undefined && cure !== undefined) {
    fixed = finding.fix.what;
    note(`${layer.name}: ${finding.evidence}. To be fixed: ${fixed}`);
    const after = await afterFix(layer, scene, finding.fix, cure);
    finding = after;
  }
  const { result, evidence } = finding;
  return {
    name: layer.name,
    result,
    asked: layer.asks,
    evidence,
    ...(finding.cure === undefined ? {} : { cure: finding.cure }),
    ...(fixed === undefined ? {} : { fixed }),
    ms: Math.round(performance.now() - started),
  };
}

/** What a cure does may take a moment to be seen. */
async function afterFix(
  layer: Layer,
  scene: Scene,
  fix: NonNullable<Finding['fix']>,
  { deadline, interval }: typeof CURE,
): Promise<Finding> {
  const end = performance.now() + deadline;
  try {
    await fix.run(scene);
  } catch (thrown) {
    const { what, hint } = toSovereignError(thrown);
    return {
      result: 'failed',
      evidence: `tried to ${fix.what}: ${what}`,
      ...(hint === undefined ? {} : { cure: hint }),
    };
  }
  for (;;) {
    scene.forget();
    const finding = await ask(layer, scene);
    if (finding.result !== 'failed' || performance.now() > end) return finding;
    await sleep(interval);
  }
}

/** A layer that cannot be asked has failed. */
async function ask(layer: Layer, scene: Scene): Promise<Finding> {
  try {
    return await layer.probe(scene);
  } catch (thrown) {
    const { what, on, hint } = toSovereignError(thrown);
    const evidence = on === undefined ? what : `${what} (${on})`;
    return { result: 'failed', evidence, ...(hint === undefined ? {} : { cure: hint }) };
  }
}
