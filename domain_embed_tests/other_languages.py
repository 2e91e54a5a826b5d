"""A German and a Japanese domain of a hundred passages each, and what people ask: a house's rules, a town's library."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from domain_embed.settings import (
    AnswersSource,
    DiagnosisSettings,
    DomainSettings,
    JudgmentSettings,
    ModelSettings,
    PairsSource,
    SparseSettings,
    SplitSettings,
    TrainingSettings,
    render_yaml,
)
from domain_embed_tests.scenario import write_lines


class Rule(NamedTuple):
    """A passage, a question it answers, and its first sentence."""

    passage_id: str
    title: str
    text: str
    query: str
    answer: str


# Name, nominative, accusative, dative; where it is; who has its key; what is forbidden there.
_GERMAN_PLACES = (
    "Waschküche|die Waschküche|die Waschküche|der Waschküche|im Keller bei der Heizung|Frau Öztürk|Teppiche zu waschen",
    "Fahrradkeller|der Fahrradkeller|den Fahrradkeller|dem Fahrradkeller|im Hinterhaus|Herr Groß|Roller zu laden",
    "Dachboden|der Dachboden|den Dachboden|dem Dachboden|über dem vierten Stock|Familie Jäger|Gasflaschen zu lagern",
    "Obstgarten|der Obstgarten|den Obstgarten|dem Obstgarten|hinter dem Hof|Frau Weiß|Bäume zu fällen",
    "Trockenraum|der Trockenraum|den Trockenraum|dem Trockenraum|am Ende des Ganges|Dr. Müller|nasse Wäsche zu hängen",
    "Tiefgarage|die Tiefgarage|die Tiefgarage|der Tiefgarage|unter dem Vorderhaus|Herr Straßer|Reifen zu wechseln",
    "Hühnerstall|der Hühnerstall|den Hühnerstall|dem Hühnerstall|zwischen Hof und Wiese|Frau Kühn|Hunde mitzunehmen",
    "Müllraum|der Müllraum|den Müllraum|dem Müllraum|rechts vom Eingang|Herr Löffler|Sperrmüll abzuladen",
    "Werkstatt|die Werkstatt|die Werkstatt|der Werkstatt|im zweiten Kellergeschoss|Frau Bäcker|nach zehn Uhr zu sägen",
    "Gästewohnung|die Gästewohnung|die Gästewohnung|der Gästewohnung|im Erdgeschoss|Familie Schäfer|Feste zu feiern",
)
# Aspect; text; question.
_GERMAN_RULES = (
    "Lage|Sie suchen {2}, und gefunden wird {1} {4}. Ein Schild weist den Weg.|Wie komme ich zu {3}?",
    "Schlüssel|Den Schlüssel zu {3} verwahrt {5}. Wer ihn verliert, zahlt das Schloss.|Wer hat den Schlüssel zu {3}?",
    "Verbote|In {3} ist es verboten, {6}. Das gilt immer, d. h. auch nachts.|Was darf man in {3} nicht tun?",
    "Reinigung|Reihum wird {1} gekehrt, jede Woche von einer Partei. Der Plan hängt aus.|Wann muss ich {2} putzen?",
    "Zeiten|Von {7} bis {8} Uhr ist {1} offen. Sonntags ist zu, außer im Advent.|Bis wann ist {1} geöffnet?",
    "Kosten|Wer {2} benutzt, zahlt {9} Euro im Monat. Studenten zahlen die Hälfte.|Welche Gebühr fällt in {3} an?",
    "Schäden|Schäden in {3} meldet man binnen {10} Tagen. Fotos helfen der Versicherung.|In {3} ist etwas kaputt!",
    "Buchung|Wer {2} für sich allein braucht, bucht {10} Tage vorher. Die Liste hängt aus.|Kann ich {2} reservieren?",
    "Licht|Das Licht in {3} erlischt nach {11} Minuten. Der Schalter leuchtet grün.|Wie lange brennt in {3} die Lampe?",
    "Notfall|Bei Feuer in {3} ruft man erst 112, dann hilft {5}. Ruhe bewahren!|Was tun, wenn es in {3} brennt?",
)
# Name; where; who answers for it; what is forbidden.
_JAPANESE_PLACES = (
    "自習室|二階の東側|田中さん|大きな声で話すこと",
    "児童書コーナー|一階の入口の右|鈴木さん|本を床に積むこと",
    "視聴覚室|三階の突き当たり|佐藤さん|映像を録画すること",
    "郷土資料室|地下一階の書庫の隣|高橋さん|資料にペンで書き込むこと",
    "コピー機|受付カウンターの横|渡辺さん|楽譜を丸ごと複写すること",
    "返却ポスト|正面玄関の外の壁|伊藤さん|壊れやすいディスクを入れること",
    "喫茶スペース|中庭に面した一角|山本さん|匂いの強い食べ物を持ち込むこと",
    "駐輪場|建物の裏の坂の下|中村さん|三日を超えて自転車を置くこと",
    "会議室|四階のエレベーターの前|小林さん|物を売ること",
    "パソコン席|二階の窓際|加藤さん|ソフトを勝手に入れること",
)
_JAPANESE_RULES = (
    "場所|{0}は{1}にあります。案内板の青い矢印に沿って進んでください。|{0}はどこですか",
    "担当|{0}の担当は{2}です。困ったときは青い名札を目印に声をかけてください。|{0}のことは誰に聞けばいいですか",
    "禁止|{0}では{3}は禁止です。守れない方には退出をお願いします。|{0}でしてはいけないこと",
    "時間|{0}を使えるのは午前{4}時から午後{9}時までです。月曜日は休みます。|{0}は何時まで使えますか",
    "料金|{0}の料金は一回{6}円です。十二歳以下の子どもは払いません。|{0}はいくらかかりますか",
    "予約|{0}の予約は{7}日前から電話で受け付けます。取り消しは前日までに知らせてください。|{0}を予約したい",
    "故障|{0}が壊れていたら、赤い札を掛けて{7}日以内に届けを出してください。修理は無料です。|{0}が壊れています",
    "忘れ物|{0}での忘れ物は{8}週間保管してから警察に渡します。傘は持ち主の名前を確かめます。|{0}に傘を忘れました",
    "清掃|{0}の清掃は毎朝{4}時前に終わります。床がぬれている間は通れません。|{0}の掃除はいつですか",
    "災害|地震のとき、{0}からは緑の扉を通って広場へ逃げます。荷物は置いてください。|{0}にいるときに地震が起きたら",
)


def german_rules() -> list[Rule]:
    """Of a house: ten places, ten rules each."""
    return list(_rules("haus", _GERMAN_PLACES, _GERMAN_RULES))


def japanese_rules() -> list[Rule]:
    """Of a library: ten places, ten rules each."""
    return list(_rules("図書館", _JAPANESE_PLACES, _JAPANESE_RULES))


def _rules(prefix: str, places: Sequence[str], rules: Sequence[str]) -> Iterator[Rule]:
    for number, place in enumerate(places):
        numbers = (number % 4 + 6, number % 5 + 17, 3 * number + 5, number % 6 + 2, number + 3, number % 3 + 3)
        values = (*place.split("|"), *numbers)
        for aspect, text, query in (rule.split("|") for rule in rules):
            told = text.format(*values)
            first = re.split(r"(?<=。)|(?<!Dr)\. ", told)[0]
            yield Rule(f"{prefix}-{values[0]}-{aspect}", f"{values[0]}: {aspect}", told, query.format(*values), first)


def write_domain(folder: Path, rules: Sequence[Rule], base: str) -> None:
    """Three quarters of the questions name their passage, the others are answered by a sentence of it."""
    named = [rule for number, rule in enumerate(rules) if number % 4]
    quoted = [rule for number, rule in enumerate(rules) if not number % 4]
    write_lines(
        folder / "corpus.jsonl", [{"_id": one.passage_id, "title": one.title, "text": one.text} for one in rules]
    )
    write_lines(folder / "pairs.jsonl", [{"query": one.query, "passage_id": one.passage_id} for one in named])
    write_lines(folder / "answers.jsonl", [{"question": one.query, "answer": one.answer} for one in quoted])
    settings = DomainSettings(
        judgments=JudgmentSettings(sources=(PairsSource(path="pairs.jsonl"), AnswersSource(path="answers.jsonl"))),
        splits=SplitSettings(validation=0.2, test=0.3),
        model=ModelSettings(base=base, max_tokens=64),
        sparse=SparseSettings(language="auto"),
        diagnosis=DiagnosisSettings(probe_pairs=0, adapter_queries=0),
        training=TrainingSettings(epochs=1, batch_size=16, max_tokens=64, interpolation=()),
    )
    (folder / "domain.yaml").write_text(render_yaml(settings), encoding="utf-8")
