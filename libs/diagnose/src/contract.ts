import type { Scene } from './scene.ts';

/** In the order in which they are asked: each needs those before it. */
export const layerNames = [
  'device',
  'vm',
  'console',
  'agent',
  'clock',
  'link',
  'address',
  'route',
  'lookup',
  'uplink',
  'tailscaled',
  'login',
  'peers',
  'port',
  'https',
  'request',
] as const;
export type LayerName = (typeof layerNames)[number];

/** A cure that loses nothing. */
export interface Fix {
  /** What it does, for people, in the form of an order. */
  what: string;
  run(scene: Scene): Promise<unknown>;
}

export interface Finding {
  /** `skipped`: the layer does not apply, or nobody here can tell; never as good as `ok`. */
  result: 'ok' | 'failed' | 'skipped';
  /** What came; where it failed, beside what was expected. */
  evidence: string;
  /** What a person can do. */
  cure?: string;
  fix?: Fix;
}

/** One thing that has to work before the next one can. */
export interface Layer {
  name: LayerName;
  /** What is asked, of whom. */
  asks: string;
  /** What throws has failed: unknown is never good. */
  probe(scene: Scene): Promise<Finding> | Finding;
}

export const ok = (evidence: string): Finding => ({ result: 'ok', evidence });
export const skipped = (evidence: string): Finding => ({ result: 'skipped', evidence });
export const failed = (evidence: string, cure: string, fix?: Fix): Finding => ({
  result: 'failed',
  evidence,
  cure,
  ...(fix === undefined ? {} : { fix }),
});
