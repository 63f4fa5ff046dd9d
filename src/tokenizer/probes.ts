import type { SentencePieceModel } from './sentencepiece.js'

/**
 * Texts that tell tokenizers apart: each stands for a rule that some conversion
 * has got wrong. A tokenizer that agrees on all of them agrees on most of the rest.
 */
export const probes: readonly string[] = distinct([
  ...spaces(),
  ...lineBreaks(),
  ...controlBytes(),
  ...specialTokens(),
  ...scripts(),
  ...unicode(),
  ...numbers(),
  ...longRuns(),
  ...code(),
])

/**
 * Texts that spell the model's own pieces, one a piece: each is put together by the
 * merges that lead to it, so that a tokenizer which lacks one of them shows it.
 */
export function pieceProbes({ pieces }: SentencePieceModel): string[] {
  return pieces
    .filter(({ type }) => type === 'normal' || type === 'userDefined')
    .map(({ text }) =>
      // The space before the text makes up for the first; a line feed keeps it away.
      text.startsWith('▁') ? text.slice(1).replaceAll('▁', ' ') : `\n${text.replaceAll('▁', ' ')}`,
    )
}

function distinct(texts: readonly string[]): string[] {
  return [...new Set(texts)]
}

/** Spaces of every kind and place: the two generations of OpenLLaMA differ in them. */
function spaces(): string[] {
  const runs = [1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 33].map((count) => ' '.repeat(count))
  const places = runs.flatMap((run) => [run, `${run}word`, `word${run}`, `one${run}two`])
  const others = [
    '\u00a0', // no-break
    '\u1680', // Ogham
    '\u2002',
    '\u2003',
    '\u2009',
    '\u200a',
    '\u2028', // line separator
    '\u2029',
    '\u202f',
    '\u205f',
    '\u3000', // ideographic
    '\u200b', // zero width
    '\u2060',
    '\ufeff',
  ]
  // U+2581 is how SentencePiece writes a space: in a text it cannot be told from one.
  const symbols = ['▁', '▁▁', '▁▁▁', ' ▁', '▁ ', ' ▁ ', '▁ ▁']
  const around = symbols.flatMap((run) => [run, `${run}word`, `word${run}`, `one${run}two`])
  return [
    '',
    ...places,
    ...others.flatMap((space) => [space, `${space}word`, `word${space}`, `one${space}two`]),
    ...around,
    ' leading and trailing ',
    'two  spaces,  everywhere  here',
  ]
}

function lineBreaks(): string[] {
  return [
    ...['\n', '\n\n', '\n\n\n\n', '\r', '\r\n', '\r\n\r\n', '\t', '\t\t\t', '\v', '\f', '\u0085'],
    ...[' \n', '\n ', ' \n ', '  \n  ', '\n  \n', '\t \t', ' \t', '\t ', '\n\t\n '],
    'first\nsecond',
    'first \n second',
    'first  \n\n   second',
    '\nstarts with a line feed',
    'ends with a line feed\n',
    'windows\r\nlines\r\n',
    'column\tcolumn\t\tcolumn',
  ]
}

function controlBytes(): string[] {
  const all = Array.from({ length: 32 }, (_, byte) => String.fromCharCode(byte))
  return [
    ...all,
    '\u007f',
    '\u0000\u0000',
    'nul\u0000inside',
    '\u001b[1mbold\u001b[0m',
    all.join(''),
  ]
}

/** To SentencePiece the names of special tokens are text like any other. */
function specialTokens(): string[] {
  const names = [
    '<s>',
    '</s>',
    '<unk>',
    '<pad>',
    '[PAD]',
    '<|endoftext|>',
    '<|im_start|>',
    '<0x0A>',
  ]
  return names.flatMap((name) => [
    name,
    ` ${name}`,
    `${name} `,
    ` ${name} `,
    `word${name}`,
    `${name}word`,
    `word ${name} word`,
    `word${name}word`,
    name + name,
    `${name}\n`,
  ])
}

function scripts(): string[] {
  return [
    '동해 물과 백두산이 마르고 닳도록',
    '한글은 1443년에 창제되었다.',
    '\u1112\u1161\u11ab\u1100\u1173\u11af in conjoining letters',
    '吾輩は猫である。名前はまだ無い。',
    'カタカナ、ひらがな、漢字。「括弧」',
    '学而时习之，不亦说乎？',
    '繁體中文與简体中文',
    'كان يا ما كان في قديم الزمان',
    'السَّلَامُ عَلَيْكُمْ',
    'שלום עולם, שָׁלוֹם',
    'Съешь же ещё этих мягких французских булок',
    'Ξεσκεπάζω την ψυχοφθόρα βδελυγμία',
    'नमस्ते दुनिया, क्षत्रिय',
    'สวัสดีชาวโลก',
    'Xin chào thế giới',
    'გამარჯობა მსოფლიო',
    'Բարեւ աշխարհ',
    'வணக்கம் உலகம்',
    'ሰላም ልዑል',
    'Zażółć gęślą jaźń',
    'Falsches Üben von Xylophonmusik quält jeden größeren Zwerg',
    'mixed 漢字 and кириллица and عربي in one line',
  ]
}

function unicode(): string[] {
  return [
    '😀',
    '😀😀😀',
    'text 😀 text',
    '👨‍👩‍👧‍👦',
    '🏳️‍🌈',
    '👍🏽',
    '🇰🇷🇯🇵',
    '❤️ ❤',
    '1️⃣',
    'e\u0301 \u00e9',
    'a\u0300\u0301\u0302\u0303',
    '\u0301alone',
    '\u1112\u1161\u11ab',
    'ﬀ ﬁ ﬂ ﬃ',
    'ＡＢＣ１２３',
    '①②③ ½ ¼',
    'ⅠⅡⅢ',
    '𝒜𝓁𝑔𝑒𝒷𝓇𝒶',
    '𐍈𐌰𐌽',
    '\u{10ffff}',
    '\ue000 private',
    '\ufffd replacement',
    '\u202eright to left\u202c',
    '“quotes” ‘single’ «guillemets» — dash – en … dots',
    '∀x∈ℝ: ⌈x⌉ = −⌊−x⌋',
  ]
}

function numbers(): string[] {
  return [
    ...['0', '7', '10', '42', '123', '1234', '12345678901234567890', ' 5', '5 ', '0x1F', '1e-06'],
    '3.14159265358979',
    '1,234,567.89',
    '2026-11-23T18:05:00Z',
    '+82-2-1234-5678',
    '١٢٣ ௧௨௩ 一二三',
    'v1.2.3-rc.4',
    '100%',
    '10 000 000',
  ]
}

function longRuns(): string[] {
  // The leftmost of equal candidates is joined first: runs show where it is not.
  const characters = ['a', 'ab', 'aba', '-', '=', '.', '#', '/', '*', '_', '0', '\n', '日', '😀']
  const lengths = [2, 3, 4, 5, 6, 7, 9, 13, 31, 64, 257]
  return characters.flatMap((character) => lengths.map((length) => character.repeat(length)))
}

function code(): string[] {
  return [
    'def fib(n):\n    if n < 2:\n        return n\n    return fib(n - 1) + fib(n - 2)\n',
    'for (let i = 0; i < 10; i++) {\n\tconsole.log(i, a[i] ?? "none", `\\\\n`)\n}',
    '#include <stdio.h>\n\nint main(void) {\n\tprintf("%d\\n", 1 << 3);\n\treturn 0;\n}\n',
    'SELECT * FROM "t" WHERE a <> b AND c LIKE \'%x%\';',
    '<div class="a b">\n  <p>text &amp; more</p>\n</div>',
    'key: value\nlist:\n  - one\n  -  two\n',
    // Longer than what libraries look at a character at a time.
    '\ufeff# -*- coding: utf-8 -*-',
    '{"a": [1, 2.5e3, null, true], "b\\u0000": "c\\\\d"}',
    '| a  | b   |\n|----|-----|\n| 1  | 2   |\n',
    '# Title\n\n- item\n  - nested\n\n```sh\n$ ls -la | grep "x"\n```\n',
    'C:\\Program Files\\App\\x.exe --flag=value && rm -rf /tmp/*',
    'https://example.org/path?q=a%20b&c=d#fragment',
    'camelCase PascalCase snake_case SCREAMING_SNAKE kebab-case',
    "don't I'll we're it's they'd",
  ]
}
