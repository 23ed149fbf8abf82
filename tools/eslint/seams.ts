/**
 * Rules for calls between threads and processes: the compiler follows every call, and decisions about an
 * error use its kind and detail (docs/adr/0038-type-calls-between-threads.md).
 */
import type { Rule, Scope, SourceCode } from "eslint";

/** A node of JavaScript. */
type Script = Parameters<SourceCode["getScope"]>[0];
type Declarator = Extract<Script, { type: "VariableDeclarator" }>;

/** Functions that send a call to another thread or process. */
const SENDERS: ReadonlySet<string> = new Set(["call", "ask", "invoke", "callMethod"]);
/** Methods of a string that test its wording. */
const TESTS: ReadonlySet<string> = new Set([
  "includes",
  "match",
  "matchAll",
  "startsWith",
  "endsWith",
  "search",
  "indexOf",
  "lastIndexOf",
  "localeCompare",
]);
/** Methods of a regular expression that test a string. */
const MATCHERS: ReadonlySet<string> = new Set(["test", "exec"]);
/** Methods of a string that keep enough of the wording for a test. */
const VIEWS: ReadonlySet<string> = new Set([
  "toLowerCase",
  "toUpperCase",
  "trim",
  "trimStart",
  "trimEnd",
  "slice",
  "substring",
]);
const COMPARISONS: ReadonlySet<string> = new Set(["==", "===", "!=", "!=="]);

/** A node of JavaScript or of TypeScript's own syntax. */
type Node = Script | { type: `TS${string}`; expression: Node };

/** The expression below casts, non-null assertions and optional chains. */
function bare(node: Node): Script {
  if (node.type.startsWith("TS")) return bare((node as { expression: Node }).expression);
  return node.type === "ChainExpression" ? bare(node.expression) : (node as Script);
}

/** Name of a called function or method; undefined for other callees. */
function calledName(callee: Node): string | undefined {
  const c = bare(callee);
  if (c.type === "Identifier") return c.name;
  if (c.type !== "MemberExpression") return undefined;
  if (!c.computed) return c.property.type === "Identifier" ? c.property.name : undefined;
  return c.property.type === "Literal" ? String(c.property.value) : undefined;
}

/** Whether an expression is text in the form of a method's name; HTTP methods and sentences are not. */
function isMethodName(node: Node): boolean {
  const n = bare(node);
  if (n.type === "ConditionalExpression") return isMethodName(n.consequent) || isMethodName(n.alternate);
  if (n.type === "LogicalExpression") return isMethodName(n.left) || isMethodName(n.right);
  const text =
    n.type === "Literal"
      ? n.value
      : n.type === "TemplateLiteral"
        ? n.quasis.map((q) => q.value.raw).join("")
        : 0;
  return typeof text === "string" && /^[a-z][A-Za-z0-9_]*$/.test(text);
}

/** Refuses a call whose method is named by a string: "go to definition" and a rename do not find it. */
const stringMethod: Rule.RuleModule = {
  meta: {
    type: "problem",
    schema: [],
    messages: {
      sender:
        "A string names the called method. Call a member of a typed client, such as `worker.call.push(…)` or a generated service.",
    },
  },
  create: (context) => ({
    CallExpression(node) {
      const name = calledName(node.callee as Node);
      if (name === undefined || !SENDERS.has(name)) return;
      if (node.arguments.some((a) => a.type !== "SpreadElement" && isMethodName(a as Node)))
        context.report({ node, messageId: "sender" });
    },
  }),
};

/** Refuses casts to `never`, which turn off the check of a call's arguments. */
const asNever: Rule.RuleModule = {
  meta: {
    type: "problem",
    schema: [],
    messages: { never: "A cast to never hides the type from the compiler. Use the type that the value has." },
  },
  create(context) {
    const check = (node: Script): void => context.report({ node, messageId: "never" });
    const inCasts = "[typeAnnotation.type='TSNeverKeyword']";
    return { [`TSAsExpression${inCasts}`]: check, [`TSTypeAssertion${inCasts}`]: check };
  },
};

/** The variable of an identifier. */
function variableOf(scope: Scope.Scope, name: string): Scope.Variable | undefined {
  for (let s: Scope.Scope | null = scope; s; s = s.upper) {
    const found = s.set.get(name);
    if (found) return found;
  }
  return undefined;
}

/** Whether a destructured variable is the property `message`. */
function isMessageProperty(pattern: Declarator["id"], name: string): boolean {
  if (pattern.type !== "ObjectPattern") return false;
  return pattern.properties.some((p) => {
    if (p.type !== "Property" || p.key.type !== "Identifier" || p.key.name !== "message") return false;
    const value = p.value.type === "AssignmentPattern" ? p.value.left : p.value;
    return value.type === "Identifier" && value.name === name;
  });
}

/** Refuses tests on the wording of an error's message. */
const messageTest: Rule.RuleModule = {
  meta: {
    type: "problem",
    schema: [],
    messages: {
      wording:
        "A message is for people and may change. Decide by the error's kind, class, code or detail instead.",
    },
  },
  create(context) {
    /** Whether an expression is the message of an error, also through a constant. */
    const isMessage = (node: Node, scope: Scope.Scope, depth = 0): boolean => {
      const n = bare(node);
      if (n.type === "MemberExpression")
        return !n.computed && n.property.type === "Identifier" && n.property.name === "message";
      if (n.type === "CallExpression") {
        const callee = bare(n.callee as Node);
        if (callee.type === "Identifier") return callee.name === "messageOf";
        return (
          callee.type === "MemberExpression" &&
          VIEWS.has(calledName(callee) ?? "") &&
          isMessage(callee.object as Node, scope, depth)
        );
      }
      if (n.type === "TemplateLiteral") return n.expressions.some((e) => isMessage(e as Node, scope, depth));
      if (n.type === "LogicalExpression" || n.type === "ConditionalExpression") {
        const [a, b] = n.type === "LogicalExpression" ? [n.left, n.right] : [n.consequent, n.alternate];
        return isMessage(a, scope, depth) || isMessage(b, scope, depth);
      }
      if (n.type !== "Identifier" || depth > 3) return false;
      const definition = variableOf(scope, n.name)?.defs[0];
      if (definition?.type !== "Variable") return false;
      const { id, init } = definition.node as Declarator;
      if (id.type === "Identifier") return init ? isMessage(init as Node, scope, depth + 1) : false;
      return isMessageProperty(id, n.name);
    };
    const report = (node: Script): void => context.report({ node, messageId: "wording" });
    return {
      CallExpression(node) {
        const callee = bare(node.callee as Node),
          name = calledName(callee);
        if (callee.type !== "MemberExpression" || name === undefined) return;
        const scope = context.sourceCode.getScope(node),
          [first] = node.arguments;
        if (TESTS.has(name) && isMessage(callee.object as Node, scope)) report(node);
        else if (
          MATCHERS.has(name) &&
          first !== undefined &&
          first.type !== "SpreadElement" &&
          isMessage(first as Node, scope)
        )
          report(node);
      },
      BinaryExpression(node) {
        if (!COMPARISONS.has(node.operator)) return;
        const scope = context.sourceCode.getScope(node);
        if ([node.left, node.right].some((side) => isMessage(side as Node, scope))) report(node);
      },
      SwitchStatement(node) {
        if (isMessage(node.discriminant as Node, context.sourceCode.getScope(node))) report(node);
      },
    };
  },
};

/** ESLint plugin of the workspace. */
export const seams = {
  rules: {
    "no-string-method": stringMethod,
    "no-as-never": asNever,
    "no-message-test": messageTest,
  },
};
