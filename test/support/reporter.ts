/** Mocha's spec reporter with one closing line that a script can read: `N passed, N failed, N skipped`. */
import Mocha from 'mocha';

export default class ClosingLineReporter extends Mocha.reporters.Spec {
  override epilogue(): void {
    super.epilogue();
    const { passes, failures, pending } = this.stats as { passes: number; failures: number; pending: number };
    console.log(`${passes} passed, ${failures} failed${pending > 0 ? `, ${pending} skipped` : ''}`);
  }
}
