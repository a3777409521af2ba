import { debianPackages, makeTestMirror, standInPrograms } from './index.ts';

/** Serves the mirror until it is interrupted; prints the settings that lead to it. */
const mirror = await makeTestMirror({
  packages: [...(await debianPackages()), ...(await standInPrograms())],
});
process.stdout.write(
  `export SOVEREIGN_ALPINE_MIRROR=${mirror.url}\nexport SOVEREIGN_ALPINE_KEYS=${mirror.keys}\n`,
);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => void mirror.close());
}
