// What eslint asks of the page's JavaScript. The files are joined to one script (lab/report/page/build.py): what one
// defines at its top is a global of the others.
import { readFileSync, readdirSync } from "node:fs";

const FOLDER = new URL("../lab/report/page/template/", import.meta.url);
const BROWSER = [
  "DecompressionStream", "Event", "ResizeObserver", "Response", "URLSearchParams", "atob", "clearTimeout", "console",
  "document", "getComputedStyle", "history", "location", "matchMedia", "navigator", "requestAnimationFrame",
  "setTimeout", "window",
];

const sources = readdirSync(FOLDER, { recursive: true }).filter((name) => name.endsWith(".js"));
const defined = Object.fromEntries(sources.map((name) => [
  name, [...readFileSync(new URL(name, FOLDER), "utf-8").matchAll(/^(?:const|class) (\w+)/gm)].map((match) => match[1]),
]));
const readonly = (names) => Object.fromEntries(names.map((name) => [name, "readonly"]));

export default [
  {
    files: ["**/*.js"],
    languageOptions: { ecmaVersion: 2022, sourceType: "script", globals: readonly(BROWSER) },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: Object.fromEntries([
      "array-callback-return", "constructor-super", "default-case-last", "dot-notation", "eqeqeq",
      "for-direction", "getter-return", "no-async-promise-executor", "no-caller", "no-class-assign",
      "no-compare-neg-zero", "no-const-assign", "no-constant-binary-expression", "no-constant-condition",
      "no-constructor-return", "no-control-regex", "no-debugger", "no-dupe-args", "no-dupe-class-members",
      "no-dupe-else-if", "no-dupe-keys", "no-duplicate-case", "no-else-return", "no-empty", "no-empty-character-class",
      "no-empty-pattern", "no-eval", "no-ex-assign", "no-extend-native", "no-extra-bind", "no-extra-boolean-cast",
      "no-fallthrough", "no-func-assign", "no-global-assign", "no-implicit-coercion", "no-implied-eval",
      "no-import-assign", "no-inner-declarations", "no-invalid-regexp", "no-irregular-whitespace", "no-lone-blocks",
      "no-loss-of-precision", "no-misleading-character-class", "no-new-func", "no-obj-calls", "no-octal",
      "no-promise-executor-return", "no-prototype-builtins", "no-redeclare", "no-regex-spaces", "no-return-assign",
      "no-self-assign", "no-self-compare", "no-setter-return", "no-shadow", "no-shadow-restricted-names",
      "no-sparse-arrays", "no-template-curly-in-string", "no-this-before-super", "no-throw-literal", "no-undef",
      "no-undef-init", "no-unexpected-multiline", "no-unmodified-loop-condition", "no-unreachable",
      "no-unreachable-loop", "no-unsafe-finally", "no-unsafe-negation", "no-unsafe-optional-chaining",
      "no-unused-expressions", "no-unused-labels", "no-unused-private-class-members",
      "no-useless-backreference", "no-useless-catch", "no-useless-concat", "no-useless-escape",
      "no-useless-rename", "no-useless-return", "no-var", "no-with", "object-shorthand", "prefer-const",
      "prefer-object-spread", "prefer-rest-params", "prefer-spread", "prefer-template", "radix", "require-yield",
      "use-isnan", "valid-typeof", "yoda",
    ].map((rule) => [rule, "error"]).concat([
      ["curly", ["error", "multi-line"]],
      ["no-unused-vars", ["error", { vars: "local" }]],
      ["no-use-before-define", ["error", { functions: false, variables: false }]],
    ])),
  },
  ...sources.map((name) => ({
    files: [`**/${name}`],
    languageOptions: {
      globals: readonly(sources.filter((other) => other !== name).flatMap((other) => defined[other])),
    },
  })),
];
