import type { Lock, LockedPackage, PackageMetadata } from '@sovereign/base';

/**
 * Package URL of a distribution's package.
 * @see https://github.com/package-url/purl-spec
 */
export function packageUrl(
  { base, release, arch }: Pick<Lock, 'base' | 'release' | 'arch'>,
  { name, version }: Pick<LockedPackage, 'name' | 'version'>,
  { origin, originVersion }: Pick<PackageMetadata, 'origin' | 'originVersion'> = {},
): string {
  const distribution = base === 'alpine' ? 'alpine' : 'debian';
  const upstream = `${origin ?? name}${originVersion === undefined ? '' : `@${originVersion}`}`;
  const qualifiers = {
    arch,
    distro: base === 'alpine' ? `alpine-${release.replace(/^v/, '')}` : release,
    ...(upstream === name ? {} : { upstream }),
  };
  const type = { alpine: 'apk', debian: 'deb' }[base];
  return `pkg:${type}/${distribution}/${escape(name)}@${escape(version)}?${queryOf(qualifiers)}`;
}

/** Package URL of a Go module. */
export const goUrl = (path: string, version: string): string =>
  `pkg:golang/${path.toLowerCase().split('/').map(escape).join('/')}@${escape(version)}`;

/** Everything but letters, digits and `.-_~` is escaped; the colon is not. */
const escape = (text: string): string =>
  encodeURIComponent(text)
    .replace(/[!'()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll('%3A', ':');

const queryOf = (qualifiers: Record<string, string>): string =>
  Object.entries(qualifiers)
    .map(([key, value]) => `${key}=${escape(value)}`)
    .join('&');
