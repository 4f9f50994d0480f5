/** The live view of `cutover watch` on a terminal. */
import { cursorTo, clearScreenDown, moveCursor } from 'node:readline';
import cliProgress from 'cli-progress';
import pc from 'picocolors';
import type { CutoverError } from '../errors.ts';
import type { LiveStatus } from '../live-status.ts';
import { fraction } from './figures.ts';
import { note } from './output.ts';
import { attention, statusHead, stepTable } from './status-view.ts';
import { wrapped } from './table.ts';

export interface View {
  show(status: LiveStatus): void;
  trouble: (error: CutoverError) => void;
  end(): void;
}

let toldTrouble = '';
/** Once for each, not at every look. */
export function troubleNote(error: CutoverError): void {
  if (error.message === toldTrouble) return;
  toldTrouble = error.message;
  note(`${error.message}${error.mend ? `; ${error.mend}` : ''}; asking again`);
}

const CLOCK_MS = 500;

/** Drawn over in place. Nothing is hidden or switched in the terminal, so nothing is left behind by a kill. */
export function liveView(out: NodeJS.WriteStream): View {
  let drawn = 0;
  let status: LiveStatus | undefined;
  let trouble = '';
  const draw = () => {
    if (!status) return;
    const width = out.columns || 80;
    const frame = [
      // First, since what does not fit the terminal is cut off below.
      ...(trouble ? [trouble] : []),
      ...statusHead(status),
      bar(status, width),
      '',
      ...attention(status),
      '',
      ...stepTable(status, Date.now(), width),
    ];
    const shown = frame
      .filter((line, index) => line !== '' || frame[index - 1] !== '')
      .flatMap((line) => line.split('\n'))
      .flatMap((line) => wrapped(line, width))
      .slice(0, (out.rows || 40) - 1);
    if (drawn > 0) moveCursor(out, 0, -drawn);
    cursorTo(out, 0);
    clearScreenDown(out);
    out.write(`${shown.join('\n')}\n`);
    drawn = shown.length;
  };
  const clock = setInterval(draw, CLOCK_MS);
  return {
    show(next) {
      status = next;
      trouble = '';
      draw();
    },
    trouble(error) {
      trouble = pc.red(`${error.message}${error.mend ? `; ${error.mend}` : ''}; asking again`);
      if (status) draw();
      else troubleNote(error);
    },
    end: () => clearInterval(clock),
  };
}

function bar({ progress }: LiveStatus, width: number): string {
  const part = progress && fraction(progress);
  if (part === undefined) return '';
  const drawn = cliProgress.Format.BarFormat(part, {
    barsize: Math.min(40, width - 10),
    barCompleteString: '█'.repeat(40),
    barIncompleteString: '░'.repeat(40),
    barGlue: '',
  });
  return `  ${pc.cyan(drawn)} ${Math.floor(part * 100)} %`;
}
