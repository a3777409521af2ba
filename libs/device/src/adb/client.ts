import { connect } from 'node:net';
import { Adb } from '@devicefarmer/adbkit';
import type { AdbServer } from './smart-socket.ts';

/**
 * What is used of adbkit: the list of phones, and forwards. Its own types stand on those of a promise
 * library that it does not bring along. Scripts and transfers are in shell.ts, which says why.
 */
interface AdbClient {
  listDevices(): PromiseLike<{ id: string; type: string }[]>;
  getDevice(serial: string): AdbPhone;
}

export interface AdbPhone {
  /** Endpoints as adb spells them: `tcp:5432`. */
  forward(local: string, remote: string): PromiseLike<boolean>;
  /** Of every phone of this server. */
  listForwards(): PromiseLike<{ serial: string; local: string; remote: string }[]>;
}

export const client = ({ port }: AdbServer): AdbClient => Adb.createClient({ host: '127.0.0.1', port });

/** Whether an adb server runs there. adbkit would start one where it is asked for something. */
export function answers({ port }: AdbServer): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' });
    socket.once('connect', () => socket.end(() => resolve(true)));
    socket.once('error', () => resolve(false));
  });
}
