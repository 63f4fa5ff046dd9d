/**
 * What models are run over where the user gives no text: plain prose, dialogue, numbers, and a few
 * lines of indented code, because runs of spaces are where tokenizers of different generations part.
 */
export const passage = `The harbour office kept its records in a room without windows. Every ship that had come in since the breakwater was built stood in one of the ledgers there, with the day, the hour, the weather, and what it carried. Nobody had read the early volumes for years, and when the roof began to leak, it was the early volumes that stood under the leak.

Mara was given the task of saving them because she was new and had not yet learned to look busy. She carried the books to the attic of the customs house, opened them on the floor under the skylight, and turned a page of each one every hour so that they would dry without sticking. On the third day she noticed that she had begun to read.

"There is a ship here that arrives twice," she told the harbour master. "The same name, the same cargo of lemons and slate, the same captain. But the second time there is no departure between."

He did not look up. "Then somebody forgot to write it down."

"That is what I thought. So I looked for the departure in the next port's books. They have it. They have it on the day after our second arrival, and they say that it came to them without a captain."

The old man put his pen away. Outside, the wind had turned to the north-east, and the signal flags were beating against their mast like washing. He asked which year it was, and she said 1871, and he was quiet for so long that she thought he had not heard.

What follows from a record depends on how it was made. A clerk who writes down what he sees makes one kind of mistake: he leaves things out. A clerk who copies from another book makes a different kind, since he puts in what he expects to find. Anyone who wants to know what happened has to know first which of the two is speaking. The same is true of measurements. If a thermometer is read to the nearest degree, the error is at most half a degree; if it is read by someone who knows what the answer ought to be, there is no limit to the error at all.

Mara began to keep a table of her own. For each ship she wrote the arrival, the departure, and the difference in days: 4, 7, 3, 12, 5, 6, 4. The average was 5.86, and nothing was remarkable about it. Then she sorted the rows by the hand in which they were written, and found that one of the three clerks had never, in eleven years, recorded a stay of more than seven days. Longer ones he had closed on the seventh and opened again on the eighth, as if for a second visit.

She wrote a small program for it, because there were 2,340 rows and she did not trust her patience:

    def merge(visits):
        joined = []
        for visit in visits:
            if joined and visit.start - joined[-1].end <= 1:
                joined[-1].end = visit.end
            else:
                joined.append(visit)
        return joined

After that the ship with the lemons arrived once, stayed for nine days, and left with its captain on board, whom the next port had simply not asked for his name. The harbour master read the page twice. Then he laughed, for the first time in her hearing, and told her that the clerk in question had been his great-grandfather, who was paid by the entry.

The books went back to a dry shelf in the spring. On the first page of the repaired volume there is now a note in pencil: read this with the pay list beside you. It is good advice for any archive. Where numbers have been written down by people, look for what the people were counting, and do not be surprised if it was not ships.
`

/** A question that every base model continues with a sentence. */
export const defaultPrompt = 'Q: What is the largest animal?\nA:'
