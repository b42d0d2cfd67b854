/** Walking through a syntax tree of acorn's. Does not own: what is looked for (bundle.ts, library-uses.ts). */
import type { AnyNode, Node } from 'acorn';

/** Each node before what is in it, with the node that it is in. */
export function visit(
  node: AnyNode,
  parent: AnyNode | undefined,
  see: (node: AnyNode, parent: AnyNode | undefined) => void,
): void {
  see(node, parent);
  for (const value of Object.values(node) as unknown[]) {
    for (const child of Array.isArray(value) ? value : [value]) {
      if (isNode(child)) visit(child, node, see);
    }
  }
}

function isNode(value: unknown): value is AnyNode {
  return typeof value === 'object' && value !== null && typeof (value as Partial<Node>).type === 'string';
}
