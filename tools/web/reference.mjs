// Checks OpenAPI and AsyncAPI documents with Spectral's rules: node reference.mjs FILE…
// Prints what is wrong, and ends with 1 if anything is.
import { readFileSync } from 'node:fs';
import core from '@stoplight/spectral-core';
import parsers from '@stoplight/spectral-parsers';
import rulesets from '@stoplight/spectral-rulesets';

// Off: a contact and a licence that the project does not name; tags by the alphabet; descriptions where the summary
// says all; success only (a stream answers 101, and a callback's GET 405); servers
// and tags of the streams, which are those of the calls; AsyncAPI 3.0 is meant.
const off = [
  'info-contact',
  'info-license',
  'license-url',
  'openapi-tags-alphabetical',
  'operation-description',
  'operation-success-response',
  'asyncapi-servers',
  'asyncapi-latest-version',
  'asyncapi-3-tags',
  'asyncapi-info-contact',
  'asyncapi-info-license',
  'asyncapi-info-license-url',
  'asyncapi-3-operation-description',
];
let wrong = 0;
for (const file of process.argv.slice(2)) {
  const text = readFileSync(file, 'utf8');
  const rules = JSON.parse(text).openapi ? rulesets.oas : rulesets.asyncapi;
  const spectral = new core.Spectral();
  spectral.setRuleset({
    extends: [[rules, 'all']],
    rules: Object.fromEntries(off.filter((name) => name in rules.rules).map((name) => [name, 'off'])),
  });
  for (const found of await spectral.run(new core.Document(text, parsers.Json, file))) {
    console.log(`${file}: ${found.path.join('.')}: ${found.code}: ${found.message}`);
    wrong++;
  }
}
process.exitCode = wrong > 0 ? 1 : 0;
