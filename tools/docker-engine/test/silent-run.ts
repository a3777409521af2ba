import { openToolRoot } from '@sovereign/tools';

/** A run that never ends by itself, for the test that kills it. Says when the program runs. */
const tools = await openToolRoot('docker');
const options = { onLine: (line: string) => void process.stdout.write(`${line}\n`) };
await tools.run(['sh', '-c', 'echo begun; sleep 1000'], options);
