import { failed, ok, type Layer } from '../contract.ts';

/** The service answers what a client asks. */
export const request: Layer = {
  name: 'request',
  asks: 'the service: a real request, from the guest and through the published port',
  async probe(scene) {
    const { definition, database } = scene;
    const { service = {} } = await scene.inspection();
    const health = service.health ?? 'unknown';
    const cure = `Run sovereign logs ${definition.name}, then sovereign restart ${definition.name}`;
    if (health !== 'ok') return failed(`its own health check says: ${health}`, cure);
    if (definition.data.kind !== 'postgresql') return ok(`its own health check says: ${health}`);
    try {
      await database.query('select 1');
    } catch (thrown) {
      const said = thrown instanceof Error && thrown.message !== '' ? thrown.message : String(thrown);
      return failed(`healthy inside, but \`select 1\` through the published port fails: ${said}`, cure);
    }
    return ok('healthy, and `select 1` through the published port is answered');
  },
};
