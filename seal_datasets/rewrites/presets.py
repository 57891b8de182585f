"""Instructions and length limits of rewrites."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Preset:
    """A kind of rewrite.

    Attributes:
        name (`str`): Name.
        instruction (`str`): Instruction to the rewriter.
        shortest (`float`): Minimum length of a rewrite, as a multiple of the original's length in characters.
        longest (`float`): Maximum length, likewise.
        examples (`tuple[tuple[str, str], ...]`): Texts and their rewrites, for prompts without the dialogue.
    """

    name: str
    instruction: str
    shortest: float
    longest: float
    examples: tuple[tuple[str, str], ...]


_DOCTOR = "I think that you should talk to your doctor about it."
_QUESTION = "No, I don't know how to do that. Why do you want to know?"
_DOG = "You could buy a big dog, and then nobody will come into your house."

PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            "style",
            "Change its wording and grammar only: say the same in other words.",
            shortest=0.5,
            longest=2.0,
            examples=(
                (_DOCTOR, "You should ask your doctor about this, in my opinion."),
                (_QUESTION, "I do not know how that is done, no. What makes you ask?"),
                (_DOG, "Get yourself a large dog, then no one is going to enter your home."),
            ),
        ),
        Preset(
            "identity",
            "Copy it letter by letter and change nothing at all.",
            shortest=0.9,
            longest=1.1,
            examples=((_DOCTOR, _DOCTOR), (_QUESTION, _QUESTION)),
        ),
        Preset(
            "more_positive",
            "Make its tone more positive.",
            shortest=1 / 3,
            longest=3.0,
            examples=(
                (_DOCTOR, "Your doctor will be glad to talk to you about it."),
                (_QUESTION, "I don't know how to do that, but I'd love to hear why you want to know!"),
            ),
        ),
        Preset(
            "less_positive",
            "Make its tone less positive.",
            shortest=1 / 3,
            longest=3.0,
            examples=(
                (_DOCTOR, "I'm afraid that you will have to talk to your doctor about it."),
                (_QUESTION, "No, I don't know how to do that. Why would you even want to know?"),
            ),
        ),
        Preset(
            "more_eloquent",
            "Make it more eloquent: well put and pleasant to read.",
            shortest=1 / 3,
            longest=3.0,
            examples=(
                (_DOCTOR, "This is a matter, I believe, that you would do well to raise with your doctor."),
                (_DOG, "A dog of imposing size would make sure that nobody ventures into your house."),
            ),
        ),
        Preset(
            "less_eloquent",
            "Make it less eloquent: plain, and clumsily put.",
            shortest=1 / 3,
            longest=3.0,
            examples=(
                (_DOCTOR, "Doctor, talk to him about it, you should do that I think."),
                (_DOG, "Buy a dog that is big, and people will not come in the house then."),
            ),
        ),
        Preset(
            "longer",
            "Make it longer: say the same in more words.",
            shortest=1.0,
            longest=5.0,
            examples=(
                (
                    _DOCTOR,
                    "I think that the best thing that you could do now is to talk about it with your own doctor.",
                ),
                (
                    _DOG,
                    "One thing that you could do is to buy a dog that is really big, and after that nobody at all will come "
                    "into your house.",
                ),
            ),
        ),
        Preset(
            "shorter",
            "Make it shorter: say the same in fewer words.",
            shortest=0.1,
            longest=1.0,
            examples=((_DOCTOR, "Talk to your doctor about it."), (_DOG, "With a big dog nobody will come in.")),
        ),
    )
}
"""`style` is the paper's rewrite; `identity` is the sham control, which changes nothing; the others change one attribute."""
