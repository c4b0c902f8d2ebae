"""Answers that follow each constraint of IFBench, and answers that do not; by hand."""

from typing import Any, NamedTuple


class Cases(NamedTuple):
    follow: tuple[str, ...]
    do_not: tuple[str, ...]
    arguments: dict[str, Any] = {}  # noqa: RUF012


AFRICA = [
    *("Zimbabwe", "Zambia", "Uganda", "Tunisia", "Togo", "Tanzania", "Sudan", "South Sudan", "South Africa", "Somalia"),
    *("Sierra Leone", "Seychelles", "Senegal", "São Tomé and Príncipe", "Rwanda", "Nigeria", "Niger", "Namibia"),
    *("Mozambique", "Morocco", "Mauritius", "Mauritania", "Mali", "Malawi", "Madagascar", "Libya", "Liberia"),
    *("Lesotho", "Kenya", "Ivory Coast", "Guinea-Bissau", "Guinea", "Ghana", "Gambia", "Gabon", "Ethiopia"),
    *("Eswatini", "Eritrea", "Equatorial Guinea", "Egypt", "Djibouti", "Congo (Republic)", "Congo (DR)", "Comoros"),
    *("Chad", "Central African Republic", "Cape Verde", "Cameroon", "Burundi", "Burkina Faso", "Botswana", "Benin"),
    *("Angola", "Algeria"),
]
CAPITALS = (
    "Reykjavík, Helsinki, Oslo, Tallinn, Stockholm, Riga, Moscow, Copenhagen, Vilnius, Minsk, Dublin, Berlin, "
    "Amsterdam, Warsaw, London, Brussels, Prague, Luxembourg, Paris, Vienna, Bratislava, Budapest, Vaduz, Chișinău, "
    "Bern, Ljubljana, Zagreb"
)
OPTIONS = "\nA) one\nB) two\nC) three\nD) four\nE) five"
QUESTIONS = [f"Question {number}. {'Who' + ' and who' * number} painted it?{OPTIONS}" for number in range(1, 5)]
CITIES = "ID,Country,City,Year,Count\n" + "\n".join(f"{row},Chile,Arica,2001,{row}" for row in range(7))
PRODUCTS = ["ProductID,Category,Brand,Price,Stock", *(f"{row},Tea,Brand,1.5,3" for row in range(13))]
SPECIAL = '14,Tea,"Cup & Co",1.5,3'
STUDENTS = [
    '"StudentID"\t"Subject"\t"Grade"\t"Semester"\t"Score"',
    *(f'"{row}"\t"Art"\t"B"\t"Spring"\t"{row}"' for row in range(3)),
]
LETTERS = "abcdefghijklmnopqrstuvwxyz"
REQUEST = "Name three rivers of Asia"

CASES: dict[str, Cases] = {
    "count:word_count_range": Cases(
        ("one two three", "one, two - three!", "one two three four"),
        ("one two", "one two three four five"),
        {"min_words": 3, "max_words": 4},
    ),
    "count:unique_word_count": Cases(("red, green: blue", "Red red GREEN blue."), ("red green red.",), {"N": 3}),
    "count:conjunctions": Cases(
        ("this and that, or neither", "salt and pepper, yet bland"), ("salt and pepper and oil",), {"small_n": 2}
    ),
    "count:person_names": Cases(
        ("Emma met Liam.", "Emma, Liam and Noah"), ("Emma met emma.", "Emma met Liamson."), {"N": 2}
    ),
    "count:numbers": Cases(("7 and 3.14", "100,000 in 2001"), ("7", "7, 8 and 9"), {"N": 2}),
    "count:punctuation": Cases(
        ("One, two; three: four. What?! No! Why?", "a, b; c: d. e? f! ‽"),
        ("One, two; three: four. No! Why?", "One, two; three: four. What?!"),
    ),
    "count:words_japanese": Cases(
        ("one 二 three 四", "one 2 three ニ", "one"), ("one two three 四", "一 two"), {"N": 2}
    ),
    "count:pronouns": Cases(("I saw it, and they saw me.", "she/her/hers and it"), ("I saw the dog.",), {"N": 4}),
    "count:keywords_multiple": Cases(
        ("a B b c c c d d d d d e e e e e e e", "ABB ccc ddddd eeeeeee"),
        ("a b c", "a a b b c c c d d d d d e e e e e e e"),
        {"keyword1": "a", "keyword2": "b", "keyword3": "c", "keyword4": "d ", "keyword5": "e"},
    ),
    "ratio:stop_words": Cases(("the dog barked loudly", "dogs bark"), ("The dog barked", "..."), {"percentage": 25}),
    "ratio:sentence_type": Cases(("It is. It was. Is it?",), ("It is. Is it?", "It is. It was. It will be. Is it?")),
    "ratio:sentence_balance": Cases(("It is. Is it? It is!",), ("It is. Is it?", "It is. It was. Is it? It is!")),
    "ratio:overlap": Cases(("teams",), ("team", "xyz", "te"), {"reference_text": "steamy cde", "percentage": 67}),
    "ratio:sentence_words": Cases(
        ("Cats sit. Dogs ran. Owls fly.", "Cats sit. Cats ran. Cats fly."),
        ("Cats sit. Dogs ran.", "Cats sit. Dogs run. Owls flew."),
    ),
    "words:alphabet": Cases(("Young zebras answer bravely.", "x"), ("A cat.", "Zebras young", "1 a b", "...")),
    "words:vowel": Cases(("See the sun set.", "a e i\n"), ("A big old hut.", "a\nb")),
    "words:consonants": Cases(("Bright stars!", "with strength"), ("Bright moon a", "sun shines")),
    "words:palindrome": Cases(
        ("Level, civic, radar, refer, kayak, rotor, madam, tenet, stats and solos.", "level " * 10),
        ("level " * 9, "noon " * 12),
    ),
    "words:prime_lengths": Cases(("It's big.", "to the happy"), ("a dog", "this is")),
    "words:start_verb": Cases(("Write a letter.", "Runs well"), ("The dog runs.",)),
    "words:repeats": Cases(("a dog, a cat", "one"), ("A dog, a cat, a cow",), {"small_n": 2}),
    "words:odd_even_syllables": Cases(("cat table dog", "Table cat water"), ("cat dog", "water table")),
    "words:last_first": Cases(
        ("We like tea. Tea is hot. Hot water helps.", "One sentence."), ("We like tea. It is hot.",)
    ),
    "words:paragraph_last_first": Cases(
        ("Tea is what I call tea.\n\nNow and now!", "tea"), ("Tea is hot.", "Tea is tea.\nIt is hot.")
    ),
    "words:no_consecutive": Cases(("a big cat", "one"), ("big bears sleep", "Big bears")),
    "words:keywords_specific_position": Cases(
        ("It is. We like (green) TEA.",),
        ("It is. We like tea now.", "We like green tea.", "It is. We like."),
        {"keyword": "tea", "n": 2, "m": 4},
    ),
    "words:words_position": Cases(
        ("A tea is always Tea sir.", "My tea cup"), ("A tea is always tea, sir.", "tea"), {"keyword": "Tea "}
    ),
    "sentence:alliteration_increment": Cases(
        ("It was. Big bears came. Seven small seals swam.", "It was. Big bears see silver seals."),
        ("Big bears came. Small seals came.", "Big bears came. It was."),
    ),
    "sentence:keyword": Cases(
        ("It is. I like Tea, sir.",),
        ("I like tea.", "I like tea. It is.", "It is. I like teapots."),
        {"word": "tea", "N": 2},
    ),
    "sentence:increment": Cases(
        ("It is. It is a - dog. It is a dog and cat.", "It is."),
        ("It is. It is it.", "It is a dog. It is."),
        {"small_n": 2},
    ),
    "format:parentheses": Cases(("a (b [c {d (e [f] g) h} i] j)", ") (((((a) b"), ("((((a))))", "(((((", "([)]" * 5)),
    "format:quotes": Cases(
        ('He: "she: \'they: "no" then\' so" there',), ('"\'"', "He said \"she said 'no'\".", '"a" "b" "c"')
    ),
    "format:options": Cases(("yes", "No.", "MAYBE"), ("yes/no", "perhaps", "yes, sir"), {"options": "yes/no/maybe"}),
    "format:newline": Cases(("one\ntwo\n\nthree!", "one"), ("one two", "one\ntwo three")),
    "format:emoji": Cases(("It is 😀. It was 🎉", "It is. 😀 It was. 🎉"), ("😀 It is.", "It is 😀. It was.")),
    "format:line_indent": Cases(("one\n two\n\n   three", "one"), ("one\ntwo", "one\n  two\n three", "one\n\n\n two")),
    "format:quote_unquote": Cases(
        ('"Stop" means to halt.', "The mark '\"' is a quotation mark", "He said “stop”"),
        ('He said "stop".', '"One" "two" are numbers'),
    ),
    "format:list": Cases(("... one\n... two",), ("... one", "- one\n- two"), {"sep": "..."}),
    "format:thesis": Cases(
        ("<i>Tea is good.</i> It is.", "A. <em>Tea</em> It is."), ("<i>Tea</i>", "<i> </i> It is.", "Tea", "<i>Tea")
    ),
    "format:sub-bullets": Cases(("* one\n- a\n* two\n- b",), ("* one\n* two\n- b",)),
    "format:no_bullets_bullets": Cases(
        ("It is. It was.\n* one\n* two", "It is.\nIt was.\n\n* one\n  * two"),
        (
            "It is.\n* one\n* two",
            "It is. It was.\n* one",
            "It is. It was.\n* one\n* two\nEnd.",
            "It is. It was.\n\n\n* a\n* b",
        ),
    ),
    "format:title_case": Cases(("The Dog Has 2 iPods", "McDonald Sings"), ("The dog", "A Dog and I", "The aBC")),
    "format:output_template": Cases(
        ("My Answer: yes My Conclusion: no Future Outlook: good",), ("My Answer: yes", "my answer: my conclusion:")
    ),
    "format:no_whitespace": Cases(("one,two",), ("one two", "one\n")),
    "custom:multiples": Cases(("14, 21, 28, 35, 42, 49", "14,21,28,35,42,49!"), ("7, 14, 21", "14 21 28 35 42 49 56")),
    "custom:mcq_count_length": Cases(
        ("\n\n".join(QUESTIONS),),
        ("Here: " + "\n".join(QUESTIONS), "\n".join(QUESTIONS[:3]), "\n".join(QUESTIONS[::-1]), "Question 1. Who?"),
    ),
    "custom:reverse_newline": Cases(
        ("\n".join(AFRICA), "The countries:\n" + "\n".join(f"- {each}" for each in AFRICA)),
        ("\n".join(AFRICA[::-1]), "\n".join(AFRICA[:51]), "\n".join(AFRICA[1:])),
    ),
    "custom:word_reverse": Cases(("Eagle bald the is it.",), ("It is the bald eagle.",)),
    "custom:character_reverse": Cases((".elgae dlaB eht si tI",), ("It is the bald eagle.",)),
    "custom:sentence_alphabet": Cases(
        (" ".join(f"{letter.upper()} is it." for letter in LETTERS),),
        (" ".join(f"{letter.upper()} is it." for letter in LETTERS[:25]), "It is.", '"A is it." ' * 26),
    ),
    "custom:european_capitals_sort": Cases((CAPITALS, CAPITALS + ","), (CAPITALS[11:], "Rome", CAPITALS + " and Rome")),
    "custom:csv_city": Cases((CITIES,), (CITIES + "\n8,Chile,Arica,2001,8", CITIES[3:], CITIES + ",9", "a\rb")),
    "custom:csv_special_character": Cases(
        ("\n".join([*PRODUCTS, SPECIAL]), "\n".join([*PRODUCTS[:1], SPECIAL, *PRODUCTS[1:]])),
        (
            "\n".join([*PRODUCTS, "14,Tea,Cup & Co,1.5,3"]),
            "\n".join([*PRODUCTS, '14,Tea,"Cup",1.5,3']),
            "\n".join([*PRODUCTS[1:], SPECIAL]),
            "\n".join([*PRODUCTS[:-1], SPECIAL]),
        ),
    ),
    "custom:csv_quotes": Cases(
        ("\n".join(STUDENTS),),
        ("\n".join(STUDENTS[:3]), "\n".join(STUDENTS).replace("\t", ","), "\n".join(STUDENTS).replace('"Art"', "Art")),
    ),
    "custom:date_format_list": Cases(
        ("1796-04-12, 1800-06-14", "1815-06-18"),
        ("1796-04-31", "1822-01-01", "1796-13-01", "April 12", "1796-04-12, and more", "1796-02-30"),
    ),
    "repeat:repeat_change": Cases(
        ("List three rivers of Asia", "List three  rivers of\nAsia"),
        (REQUEST, "Ganges", "List four rivers of Asia"),
        {"prompt_to_repeat": REQUEST},
    ),
    "repeat:repeat_simple": Cases(
        (" only output this sentence here, ignore all other requests.\n",),
        ("Only output this sentence here", "Sure! Only output this sentence here, ignore all other requests."),
    ),
    "repeat:repeat_span": Cases(
        ("three", " ThreE "),
        ("three rivers", "thre"),
        {"prompt_to_repeat": REQUEST, "n_start": 4, "n_end": 9},
    ),
}
