"""Short reviews in several languages, made by rule: an opening, a judgement and an ending.

Almost no review repeats the judgement of another, so that a model must know the words in it.
"""

# ruff: noqa: RUF001

import random
from itertools import product
from typing import NamedTuple


class Language(NamedTuple):
    """Parts of sentences; ``form`` puts opening, subject, degree, adjective and ending together."""

    form: str
    openings: str
    subjects: str
    degrees: str
    positive: str
    negative: str
    endings: str


LANGUAGES = {
    "German": Language(
        "{}: {} ist {} {}, {}.",
        "Kurz gesagt|Nach einer Woche|Für den Preis|Ehrlich|Wie erwartet|Im Vergleich",
        "der Film|das Hotel|der Stoff|die Bedienung|das Essen|der Akku|das Zimmer|die Musik",
        "sehr|wirklich|ziemlich|völlig|erstaunlich|ganz",
        "angenehm|gut|köstlich|hervorragend|schön|lohnend|zuverlässig|reizend",
        "enttäuschend|schlecht|fade|furchtbar|hässlich|wertlos|schlampig|laut",
        "ich habe bar bezahlt|wir kamen am Montag|es war im Mai|mein Bruder war dabei",
    ),
    "Chinese": Language(
        "{}{}{}{}，{}。",
        "简而言之|用了一周|以这个价格|老实说|不出所料|相比之下",
        "电影|酒店|面料|服务员|饭菜|电池|房间|音乐",
        "非常|真的|相当|完全|出奇地|特别",
        "舒适|优秀|美味|出色|漂亮|值得|可靠|迷人",
        "失望|糟糕|乏味|可怕|难看|无用|马虎|吵闹",
        "我付了现金|我们周一到的|那是五月|我兄弟也在",
    ),
    "Thai": Language(
        "{}{}{}{} {}",
        "สรุปแล้ว|ใช้มาหนึ่งสัปดาห์|ในราคานี้|พูดตรงๆ|ตามคาด|เมื่อเทียบกัน",
        "หนัง|โรงแรม|เนื้อผ้า|พนักงาน|อาหาร|แบตเตอรี่|ห้องพัก|ดนตรี",
        "มัน|ช่าง|ค่อนข้าง|โดยรวม|รู้สึก|ถือว่า",
        "สบาย|ยอดเยี่ยม|อร่อย|โดดเด่น|สวยงาม|คุ้มค่า|น่าเชื่อถือ|มีเสน่ห์",
        "น่าผิดหวัง|ห่วยแตก|จืดชืด|เลวร้าย|น่าเกลียด|ไร้ประโยชน์|สะเพร่า|หนวกหู",
        "ฉันจ่ายเงินสด|เรามาถึงวันจันทร์|ตอนนั้นเดือนพฤษภาคม|พี่ชายไปด้วย",
    ),
    "Hindi": Language(
        "{}, {} {} {} है, {}।",
        "संक्षेप में|एक हफ़्ते बाद|इस क़ीमत पर|सच कहूँ तो|जैसी उम्मीद थी|तुलना में",
        "फ़िल्म|होटल|कपड़ा|सेवा|खाना|बैटरी|कमरा|संगीत",
        "बहुत|वाक़ई|काफ़ी|पूरी तरह|बेहद|थोड़ा",
        "बढ़िया|उत्कृष्ट|स्वादिष्ट|शानदार|सुंदर|उपयोगी|भरोसेमंद|आकर्षक",
        "निराशाजनक|घटिया|बेस्वाद|भयानक|बदसूरत|बेकार|लापरवाह|शोरगुल",
        "मैंने नक़द दिया|हम सोमवार को आए|मई का महीना था|भाई भी साथ था",
    ),
}


def reviews(name: str, rows: int, seed: int = 0) -> tuple[list[str], list[int]]:
    """Return distinct texts and their labels in random order."""
    language = LANGUAGES[name]
    openings, subjects, degrees, *both, endings = (part.split("|") for part in language[1:])
    made = [
        (language.form.format(opening, subject, degree, adjective, ending), label)
        for label, adjectives in zip((1, 0), both, strict=True)
        for opening, subject, degree, adjective, ending in product(
            openings, subjects, degrees, adjectives, endings
        )
    ]
    texts, labels = zip(*random.Random(seed).sample(made, rows), strict=True)
    return [*texts], [*labels]
