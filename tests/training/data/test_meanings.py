"""A meaning reads as words, and every name in its sentences is left open."""

import io
import zipfile

from training.data.meanings import convert_train, paired, read_rows

FILE = (
    "mr,ref\r\n"
    '"name[The Mill], eatType[pub], near[Café Adriatic]","The Mill is near Café Adriatic."\r\n'
    '"name[The Mill], eatType[pub], near[Café Adriatic]","Near ""Café Adriatic"": a pub."\r\n'
    '"name[Aromi], priceRange[more than £30]",Aromi costs over £30.\r\n'
)


def test_every_meaning_is_one_source_with_all_that_was_said_of_it():
    mill, aromi = paired(read_rows(FILE))
    assert mill.source == "name , eattype pub , near"
    assert mill.targets == (
        "value_name is near value_near .",
        'near " value_near " : a pub .',
    )
    assert aromi.source == "name , pricerange more than £30"
    assert aromi.targets == ("value_name costs over £30 .",)


def test_names_come_back():
    mill, _ = paired(read_rows(FILE))
    assert mill.filled("value_name , near value_near") == "the mill , near café adriatic"


def test_the_training_file_is_found_in_its_archive():
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("e2e-dataset/devset.csv", "mr,ref\n")
        made.writestr("e2e-dataset/trainset.csv", FILE)
    assert convert_train(lambda _: archive.getvalue()) == FILE.encode()
