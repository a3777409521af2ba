import { SovereignError } from '@sovereign/report';

/** What OpenRC calls the words of depend(), and what the other side of each is called. */
const words = new Map([
  ['need', 'ineed'],
  ['use', 'iuse'],
  ['want', 'iwant'],
  ['after', 'iafter'],
  ['before', 'ibefore'],
  ['provide', 'iprovide'],
]);
const reverse = [
  ['ineed', 'needsme'],
  ['iuse', 'usesme'],
  ['iwant', 'wantsme'],
  ['iafter', 'ibefore'],
  ['ibefore', 'iafter'],
  ['iprovide', 'providedby'],
] as const;

type Depends = Map<string, string[]>;

/**
 * OpenRC's dependency cache for a set of services, as `rc-depend --update` writes it (src/librc/librc-depend.c):
 * made when the image is composed, because a boot that computes it spends seconds on that. A test on a running
 * guest compares the two.
 * @param scripts text of each file of /etc/init.d by name; depend() holds plain words, one line each
 * @throws SovereignError `bad-service` for what cannot be known without running the script, for a need that nothing
 *   meets, and for a circle
 */
export function depTree(scripts: ReadonlyMap<string, string>): string {
  const tree = new Map<string, Depends>();
  for (const name of [...scripts.keys()].sort()) tree.set(name, parseDepend(name, scripts.get(name) ?? ''));
  for (const depends of [...tree.values()]) {
    for (const name of depends.get('iprovide') ?? []) if (!tree.has(name)) tree.set(name, new Map());
  }
  addReverse(tree);
  refuseCircles(tree);
  return [...tree].flatMap(([name, depends], index) => describe(name, depends, index)).join('');
}

function parseDepend(name: string, script: string): Depends {
  const depends: Depends = new Map();
  const body = /^depend\(\) \{\n([\s\S]*?)^\}/m.exec(script)?.[1] ?? '';
  for (const line of body.split('\n').map((text) => text.trim())) {
    if (line === '' || line.startsWith('#')) continue;
    const [word = '', ...names] = line.split(/\s+/);
    const type = word === 'keyword' ? 'keyword' : words.get(word);
    if (type === undefined || !names.every((text) => /^[-a-z0-9]+$/.test(text))) {
      throw badService(name, `depend() holds "${line}", which says more than plain names`);
    }
    depends.set(type, [...(depends.get(type) ?? []), ...names]);
  }
  return depends;
}

function addReverse(tree: Map<string, Depends>): void {
  for (const [name, depends] of tree) {
    for (const [type, opposite] of reverse) {
      for (const other of depends.get(type) ?? []) {
        const target = tree.get(other);
        if (target === undefined) {
          if (type === 'ineed') throw badService(name, `it needs ${other}, which is no service of the guest`);
          continue;
        }
        const list = target.get(opposite) ?? [];
        if (!list.includes(name)) list.push(name);
        target.set(opposite, list);
      }
    }
  }
}

function refuseCircles(tree: Map<string, Depends>): void {
  const done = new Set<string>();
  const visit = (name: string, path: readonly string[]): void => {
    if (path.includes(name))
      throw badService(name, `its dependencies go in a circle: ${[...path, name].join(' → ')}`);
    if (done.has(name)) return;
    for (const type of ['ineed', 'iuse', 'iwant', 'iafter']) {
      for (const other of tree.get(name)?.get(type) ?? []) visit(other, [...path, name]);
    }
    done.add(name);
  };
  for (const name of tree.keys()) visit(name, []);
}

const describe = (name: string, depends: Depends, index: number): string[] => [
  `depinfo_${index}_service='${name}'\n`,
  ...[...depends].flatMap(([type, names]) =>
    names.map((other, position) => `depinfo_${index}_${type}_${position}='${other}'\n`),
  ),
];

const badService = (name: string, what: string) =>
  new SovereignError({
    code: 'bad-service',
    what,
    on: `init.d/${name}`,
    hint: 'Write depend() with plain words of OpenRC and names of services, one kind a line',
  });
