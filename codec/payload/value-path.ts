/**
 * Paths: what an error calls the place in a value that cannot be stored, e.g. `args[0].users.get("me").onClick`.
 *
 * Owns: how one step and a whole path are spelled.
 * Does not own: which steps lead to a place (graph-writer.ts).
 */
import { type GraphNode, isReference, KIND } from './graph-form.js';
import { primitiveOf } from './primitives.js';

/** Longer paths are shown without their middle. */
const PATH_STEPS_MAX = 40;

export function pathOf(root: string, steps: string[]): string {
  if (steps.length > PATH_STEPS_MAX) steps.splice(PATH_STEPS_MAX / 2, steps.length - PATH_STEPS_MAX, ' ... ');
  return root + steps.join('');
}

/** How one gets from an object to what stands at a place in its node. Node 0, the root, has no kind and no steps. */
export function stepOf(node: GraphNode, place: number): string {
  switch (node[0]) {
    case KIND.object:
      return place % 2 === 0 ? propertyStep(node[place - 1]) : '';
    case KIND.error:
      return place > 2 && place % 2 === 0 ? propertyStep(node[place - 1]) : '';
    case KIND.array:
      return `[${place - 1}]`;
    case KIND.set:
      return `.item(${place - 1})`;
    case KIND.map:
      return place % 2 === 0 ? entryStep(node[place - 1], place / 2 - 1) : `.key(${(place - 1) / 2})`;
    default:
      return '';
  }
}

function propertyStep(keySlot: unknown): string {
  const key = String(primitiveOf(keySlot));
  return /^[A-Za-z_$][\w$]*$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`;
}

/** Entries of a Map are named by their key where it is a primitive, and counted where it is an object. */
function entryStep(keySlot: unknown, index: number): string {
  if (isReference(keySlot)) return `.value(${index})`;
  const key = primitiveOf(keySlot);
  return `.get(${typeof key === 'string' ? JSON.stringify(key) : String(key)})`;
}
