import { SovereignError } from '@sovereign/report';
import { bases, type Base } from '@sovereign/service';

/**
 * The base that a task works with: the configuration's (`nx run rootfs-sql:build:debian`), else SOVEREIGN_BASE, which
 * Nx reads from `.env.local`, else Alpine.
 */
export function chooseBase(option: Base | undefined): Base {
  const name = option ?? process.env.SOVEREIGN_BASE ?? 'alpine';
  const base = bases.find((known) => known === name);
  if (base !== undefined) return base;
  throw new SovereignError({
    code: 'bad-setting',
    what: `SOVEREIGN_BASE names no base: ${name}`,
    on: '.env.local',
    hint: `Write one of ${bases.join(', ')}`,
  });
}
