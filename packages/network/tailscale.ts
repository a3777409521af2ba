import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { lockModule, runModuleTool, type GoBuild } from '@sovereign/go';
import { SovereignError } from '@sovereign/report';
import { canonicalJson, writeFileAtomic } from '@sovereign/store';
import { z } from 'zod';

/**
 * Features of Tailscale that guests have, each with its reason; what is not here is left out of the program. The names
 * are those of the module's `feature/featuretags`, and what a feature itself requires comes with it.
 */
export const tailscaleFeatures = {
  acme: 'certificates of the tailnet for HTTPS of web services: `tailscale cert`',
  bakedroots:
    'a control server is reached from a guest whose CA bundle is old or was replaced by one of the owner’s',
  c2n: 'the control server asks its nodes for their state: shown in the admin page, and complained of where it fails',
  cachenetmap:
    'a guest that boots while the control server is away still knows its peers, where the tailnet allows it',
  cli: 'one program for daemon and client: two would be twice the size',
  debug: 'what `diagnose` asks for beyond the status',
  dns: 'names of the tailnet; without it a node does not know its own',
  gro: 'packets are taken in bundles: throughput',
  health: '`status` says what is wrong in words',
  ipnbus: '`up` waits for the login without asking over and over',
  listenrawdisco: 'finds direct paths through more kinds of NAT',
  logtail: 'has the switch that keeps logs from being sent anywhere',
  oauthkey: 'a login by an OAuth client secret with tags, which does not expire as keys do',
  osrouter: 'addresses, routes and rules of the interface in the kernel, where the services listen',
  peerapiclient: 'half of how peers talk to each other beside the owner’s traffic',
  peerapiserver: 'the other half; without it peers complain',
  serve: 'what an owner serves by hand; nothing of ours needs it (docs/decisions/0019-https.md)',
  tailnetlock: 'a tailnet whose owner signs its nodes admits a guest only so',
  unixsocketidentity: 'without it the client is told `access denied`',
  useroutes: 'a peer with routes, such as an owner’s subnet router, is taken for what it is',
} satisfies Record<string, string>;

const moduleFolder = join(import.meta.dirname, 'tailscale');

/** What follows from the features for the version that go.mod names: build tags, made by `lock`. */
const tagsPath = join(moduleFolder, 'tags.json');
const tagsSchema = z.strictObject({ schema: z.literal(1), tags: z.array(z.string()).min(1) });

/** Version that go.mod names, without `v`; Tailscale's own builds say theirs in the same place. */
export async function tailscaleVersion(): Promise<string> {
  const named = /^require tailscale\.com v(\S+)/m.exec(await readFile(join(moduleFolder, 'go.mod'), 'utf8'));
  if (named?.[1] === undefined) throw new Error('go.mod names no version of Tailscale in a line of its own');
  return named[1];
}

export async function readTailscaleTags(): Promise<string[]> {
  return tagsSchema.parse(JSON.parse(await readFile(tagsPath, 'utf8'))).tags;
}

/** The one program that is daemon and client: called as `tailscale` it is the client. */
export async function tailscalePrograms(): Promise<GoBuild> {
  const [tags, version] = await Promise.all([readTailscaleTags(), tailscaleVersion()]);
  const stamp = 'tailscale.com/version';
  const program = (arch: 'amd64' | 'arm64') => ({
    name: `tailscaled.${arch}`,
    package: 'tailscale.com/cmd/tailscaled',
    arch,
    tags,
    // Else it tells itself and the control server that it does not know.
    variables: { [`${stamp}.shortStamp`]: version, [`${stamp}.longStamp`]: version },
  });
  return { module: moduleFolder, programs: [program('amd64'), program('arm64')] };
}

/** Locks the modules, and asks the module's own tool which build tags leave the features that are wanted. */
export async function lockTailscale(): Promise<void> {
  await lockModule(moduleFolder);
  const features = Object.keys(tailscaleFeatures);
  const known = await runModuleTool(moduleFolder, 'featuretags', ['--list']);
  const unknown = features.filter((feature) => !new RegExp(`^ *${feature}: `, 'm').test(known));
  if (unknown.length > 0) {
    throw new SovereignError({
      code: 'bad-lock',
      what: `this version of Tailscale does not know the feature ${unknown.join(', ')}`,
      on: moduleFolder,
      hint: 'Look up what became of it, then change packages/network/tailscale.ts',
    });
  }
  const printed = await runModuleTool(moduleFolder, 'featuretags', ['--min', `--add=${features.join(',')}`]);
  const tags = printed.trim().split(',');
  await writeFileAtomic(tagsPath, canonicalJson({ schema: 1, tags }));
}
