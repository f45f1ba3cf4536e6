"""Computes expected words and auto-BLEU-2 of texts with nltk, and writes fixtures/auto_bleu.json.

    python make_auto_bleu.py

The word tokeniser is the class that nltk.word_tokenize calls on each sentence. This script passes it the whole text, as
the recipe's reference filter does. Unlike nltk's sentence splitter, it needs no downloaded model.
"""

import json
import random
from pathlib import Path

import nltk
from nltk.tokenize import NLTKWordTokenizer

TOKENISER = NLTKWordTokenizer()

SENTENCES = """
The man is sitting on a roof. He starts pulling up roofing on a roof.
A woman walks to the door, and she opens the door, and she walks to the door.
I can't believe it's not butter! Don't you? We'll see; they've gone, he'd said. I'm done.
"Hello," she said, "who's there?" 'Nobody,' he replied.
Good muffins cost $3.88 (roughly 3,36 euros)
They gonna wanna gotta gimme lemme cannot D'ye know more'n that? 'Tis true, 'twas so.
Dr. Smith lives at 12 St. James St. and works for the U.S. Army.
He paid 50% of it -- or so I think... maybe -- well...
Time: 12:30, ratio 3:4, list: a, b, c:
It was the best of times, it was the worst of times.
The quick (brown) [fox] {jumps} <over> the lazy dog's tail.
“Curly quotes,” he said, ‘are fine’ – and dashes — too.
'90s kids don't say 'em. rock 'n' roll, o'clock, ma'am, y'all'd've
an email: me@example.com #hashtag a&b *star* 5*6
He said ''yes'' and ``no'' and `tick`.
I ran. I fell. I got up. I ran. I fell.
a a a a a a
the cat the cat the cat the cat.
Wait what?! No... yes!? "Really?"
Ends with a quote."
Ends with a bracket (like this.)
Ends with spaces.   
CANNOT GONNA WANNA N'T DON'T I'LL WE'RE THEY'VE SHE'S
wanna
'tis 'twas it 'tis and 'TWAS
'hello' 'sup 's 're 'll 'd 'm 't 'n
""".strip("\n").split("\n")

ALPHABET = list("aabbnt's\"`.,:;!?()[]{}<>-*$%&@#019 \t\n  ''") + [
    "can", "not", "gonna", "wanna ", "n't", "'ll", "'s ", "..", "--", "«", "»", "“", "”", "‘", "’", "–", "é", "ſ",
    "\u00a0", "\u001c", "\u2028", "²", "_", "日", " 'tis", "lemme", "d'ye", "more'n", "''",
]  # fmt: skip


def auto_bleu(words, n):
    grams = list(nltk.ngrams(words, n))
    repeated = sum(any(gram == other for j, other in enumerate(grams) if j != i) for i, gram in enumerate(grams))
    return repeated / len(grams) if grams else 0.0


def main():
    random.seed(8)
    texts = [""] + SENTENCES
    texts += [a + " " + b for a, b in zip(SENTENCES, random.sample(SENTENCES, len(SENTENCES)))]
    texts += ["".join(random.choices(ALPHABET, k=random.randint(1, 30))) for _ in range(400)]
    cases = []
    for text in texts:
        words = TOKENISER.tokenize(text)
        cases.append({"text": text, "words": words, "auto_bleu2": auto_bleu(words, 2)})
    path = Path(__file__).parent / "fixtures" / "auto_bleu.json"
    path.write_text("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")
    print(f"{len(cases)} texts in {path}, nltk {nltk.__version__}")


if __name__ == "__main__":
    main()
