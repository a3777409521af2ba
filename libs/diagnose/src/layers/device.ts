import { failed, ok, type Layer } from '../contract.ts';

/** The device answers, and the service is on it. One that is not reached throws. */
export const device: Layer = {
  name: 'device',
  asks: 'the device: what its launcher says',
  async probe(scene) {
    const { service, device: said } = await scene.inspection();
    const { name } = scene.definition;
    if (service === undefined) {
      return failed(`${name} was never deployed on ${scene.device.id}`, `Run sovereign up ${name}`);
    }
    const keeper = said.keeper === undefined ? 'no keeper runs' : `keeper ${said.keeper}`;
    return ok(`answers; network ${said.network ?? 'unknown'}, ${keeper}`);
  },
};
