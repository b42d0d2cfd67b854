// What a remote greeting service would answer.
import type { Language } from './workflows.js';

const GREETINGS: Partial<Record<Language, string>> = {
  ARABIC: 'مرحبا بالعالم',
  CHINESE: '你好，世界',
  ENGLISH: 'Hello, world',
  FRENCH: 'Bonjour, monde',
  HINDI: 'नमस्ते दुनिया',
  SPANISH: 'Hola mundo',
} as Partial<Record<Language, string>>;

export async function callGreetingService(language: Language): Promise<string | undefined> {
  await new Promise((resolve) => setTimeout(resolve, 20));
  return GREETINGS[language];
}
