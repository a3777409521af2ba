import { testPackage } from '@sovereign/go';
import { test } from 'vitest';
import { gvisorPrograms } from '../index.ts';

// In Go, since no machine that tests run on can come from a vsock address of its choice.
test('gvproxy admits the vsock addresses that launch plans give, and no other', { timeout: 300_000 }, () =>
  testPackage(gvisorPrograms.module, './plans'),
);
