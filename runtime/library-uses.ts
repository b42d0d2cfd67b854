/**
 * What workflow code takes from `signalbox/workflow`, held against what that has.
 *
 * Owns: finding uses of names that are not there, such as a misspelt one, or one of Temporal's that is not provided.
 * Does not own: bundling (bundle.ts), the API itself (actors/workflow.ts).
 *
 * A use is a member of a variable that has the required module: `wf.patched`, `(0, import_workflow.patched)`, `const { patched } = wf`. Where code only
 * asks whether there is one (`typeof wf.patched`), it may.
 */
import type { AnyNode, Program } from 'acorn';
import * as workflow from '../actors/workflow.js';
import { visit } from './syntax-tree.js';

export interface UnprovidedUse {
  name: string;
  /** From 1. */
  line: number;
  /** From 0. */
  column: number;
}

/** The first use of each name that is not provided. @param program parsed with locations */
export function unprovidedUses(program: Program): UnprovidedUse[] {
  const libraries = new Set<string>();
  visit(program, undefined, (node) => {
    if (node.type === 'VariableDeclarator' && node.id.type === 'Identifier' && isLibrary(node.init))
      libraries.add(node.id.name);
  });
  const isOfLibrary = (node: AnyNode | null | undefined) =>
    isLibrary(node) || (node?.type === 'Identifier' && libraries.has(node.name));
  const uses = new Map<string, UnprovidedUse>();
  const use = (key: AnyNode) => {
    if (key.type !== 'Identifier' || key.name in workflow || key.name === 'default' || uses.has(key.name))
      return;
    uses.set(key.name, { name: key.name, ...key.loc!.start });
  };
  visit(program, undefined, (node, parent) => {
    if (node.type === 'MemberExpression' && !node.computed && isOfLibrary(node.object) && !isQuestion(parent))
      use(node.property);
    if (node.type === 'VariableDeclarator' && node.id.type === 'ObjectPattern' && isOfLibrary(node.init))
      for (const property of node.id.properties)
        if (property.type === 'Property' && !property.computed) use(property.key);
  });
  return [...uses.values()];
}

/** `require("signalbox/workflow")`, or that in esbuild's helper. */
function isLibrary(node: AnyNode | null | undefined): boolean {
  if (node?.type !== 'CallExpression' || node.callee.type !== 'Identifier') return false;
  const [first] = node.arguments;
  if (node.callee.name === 'require')
    return first?.type === 'Literal' && first.value === 'signalbox/workflow';
  return node.callee.name.startsWith('__toESM') && isLibrary(first);
}

function isQuestion(parent: AnyNode | undefined): boolean {
  return parent?.type === 'UnaryExpression' && parent.operator === 'typeof';
}
