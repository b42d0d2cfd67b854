// A greeting that can be read, changed and approved while it runs. Nothing in here knows what it runs on: the same file
// runs on a Temporal cluster, whose package name it could import from instead.
import { Mutex } from 'async-mutex';
import * as wf from 'signalbox/workflow';
import type * as activities from './activities.js';

export enum Language {
  ARABIC = 'ARABIC',
  CHINESE = 'CHINESE',
  ENGLISH = 'ENGLISH',
  FRENCH = 'FRENCH',
  HINDI = 'HINDI',
  PORTUGUESE = 'PORTUGUESE',
  SPANISH = 'SPANISH',
}

export interface GetLanguagesInput {
  includeUnsupported: boolean;
}

export interface ApproveInput {
  name: string;
}

export const getLanguages = wf.defineQuery<Language[], [GetLanguagesInput]>('getLanguages');
export const getLanguage = wf.defineQuery<Language>('getLanguage');
export const approve = wf.defineSignal<[ApproveInput]>('approve');
export const setLanguage = wf.defineUpdate<Language, [Language]>('setLanguage');
export const setLanguageUsingActivity = wf.defineUpdate<Language, [Language]>('setLanguageUsingActivity');

const { callGreetingService } = wf.proxyActivities<typeof activities>({ startToCloseTimeout: '10 seconds' });

export async function greetingWorkflow(): Promise<string> {
  const greetings: Partial<Record<Language, string>> = {
    [Language.CHINESE]: '你好，世界',
    [Language.ENGLISH]: 'Hello, world',
  };
  let language = Language.ENGLISH;
  let approvedForRelease = false;
  let approverName: string | undefined;
  const lock = new Mutex();

  wf.setHandler(getLanguages, ({ includeUnsupported }) =>
    includeUnsupported ? Object.values(Language) : (Object.keys(greetings) as Language[]),
  );

  wf.setHandler(getLanguage, () => language);

  wf.setHandler(approve, (input) => {
    approvedForRelease = true;
    approverName = input.name;
  });

  wf.setHandler(
    setLanguage,
    (newLanguage) => {
      const previousLanguage = language;
      language = newLanguage;
      return previousLanguage;
    },
    {
      validator: (newLanguage) => {
        if (!(newLanguage in greetings)) throw new Error(`${newLanguage} is not supported`);
      },
    },
  );

  wf.setHandler(setLanguageUsingActivity, async (newLanguage) => {
    if (!(newLanguage in greetings)) {
      // One at a time, so that two callers who want the same new language ask the service once.
      await lock.runExclusive(async () => {
        if (newLanguage in greetings) return;
        const greeting = await callGreetingService(newLanguage);
        if (!greeting) {
          throw new wf.ApplicationFailure(`${newLanguage} is not supported by the greeting service`);
        }
        greetings[newLanguage] = greeting;
      });
    }
    const previousLanguage = language;
    language = newLanguage;
    return previousLanguage;
  });

  await wf.condition(() => approvedForRelease);
  await wf.condition(wf.allHandlersFinished);
  return `${greetings[language]} (approved by ${approverName})`;
}
