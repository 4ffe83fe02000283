"""What is said in simulated calls. Data only."""

from __future__ import annotations

from typing import Any, Final, NamedTuple


class Tool(NamedTuple):
    """A tool call: what it is called with, and what it returns."""

    name: str
    arguments: dict[str, Any]
    output: Any


class Exchange(NamedTuple):
    """What the caller says and what the agent answers, after calling a tool if there is one."""

    user: str
    agent: str
    tool: Tool | None = None


class Scene(NamedTuple):
    """One kind of call."""

    room: str
    agent: str
    greeting: str
    exchanges: tuple[Exchange, ...]
    goodbye: str


SCENES: Final = (
    Scene(
        "table",
        "reservations",
        "Good evening, Trattoria Lume, how can I help you?",
        (
            Exchange(
                "Hi, I'd like to book a table for tomorrow night.", "With pleasure. For how many people?"
            ),
            Exchange(
                "Four of us, around half past seven if that works.",
                "Half past seven for four is free. Would you like to sit inside or on the terrace?",
                Tool("find_tables", {"people": 4, "time": "19:30"}, {"free": ["inside", "terrace"]}),
            ),
            Exchange(
                "The terrace would be lovely, unless it rains.",
                "Then I will note the terrace, and keep a table inside for you in case it rains. What name may I use?",
            ),
            Exchange(
                "Moreau. M, O, R, E, A, U.",
                "Thank you. A table for four, tomorrow at half past seven, for Moreau. You will get a text message.",
                Tool("book_table", {"name": "Moreau", "people": 4, "time": "19:30"}, {"booking": "LU-4417"}),
            ),
            Exchange(
                "Do you have anything without gluten?",
                "We do: three starters, the risotto and two desserts. Any pasta can be made without gluten, too.",
            ),
        ),
        "Thank you for calling, see you tomorrow.",
    ),
    Scene(
        "parcel",
        "delivery-desk",
        "Hello, this is the delivery desk. What can I do for you?",
        (
            Exchange(
                "My parcel says delivered, but I never got it.",
                "I am sorry to hear that. Could you read me the tracking number?",
            ),
            Exchange(
                "Yes, it's seven seven four, zero one nine, two.",
                "It was handed to a neighbour at number 14 this morning, at ten past nine.",
                Tool("track_parcel", {"number": "7740192"}, {"status": "delivered", "to": "neighbour, 14"}),
            ),
            Exchange(
                "Nobody lives at number 14. The house is empty.",
                "Then something went wrong. I will ask the driver, and you will hear from us by noon tomorrow.",
                Tool("open_search", {"number": "7740192"}, {"case": "S-20881"}),
            ),
            Exchange(
                "And what happens if you can't find it?",
                "Then the sender gets a refund within five days, and usually sends your order again.",
            ),
        ),
        "You are welcome. Goodbye.",
    ),
    Scene(
        "clinic",
        "front-office",
        "Good morning, dental practice at the park. How may I help?",
        (
            Exchange(
                "I have a toothache since Sunday, and it's getting worse.",
                "Oh dear. Do you have a fever, or is your cheek swollen?",
            ),
            Exchange(
                "No fever, but it hurts when I drink something cold.",
                "There is a free appointment today at a quarter past two. Can you come?",
                Tool("free_slots", {"day": "today", "urgent": True}, {"slots": ["14:15", "16:40"]}),
            ),
            Exchange("Quarter past two is too early. Is there anything later?", "Yes, at twenty to five."),
            Exchange(
                "That's fine, I'll take that one.",
                "I have put you down for twenty to five. Please bring your insurance card.",
                Tool("book_slot", {"time": "16:40"}, {"confirmed": True}),
            ),
        ),
        "Get well soon, and see you this afternoon.",
    ),
    Scene(
        "card",
        "bank-line",
        "Welcome to the card line. What has happened?",
        (
            Exchange(
                "I think I lost my card on the train.",
                "I will block it at once. What are the last four digits?",
            ),
            Exchange(
                "Four zero eight one.",
                "The card ending in 4081 is blocked. The last payment was 12 euros in a bakery. Was that you?",
                Tool("block_card", {"last4": "4081"}, {"blocked": True, "last_payment": 12.0}),
            ),
            Exchange(
                "Yes, that was me. How long does a new card take?",
                "Three working days. You can use the card in your phone right away.",
                Tool("order_card", {"express": False}, {"days": 3}),
            ),
        ),
        "Your new card is on its way. Have a good day.",
    ),
    Scene(
        "hotel",
        "concierge",
        "Buenas tardes, Hotel Miramar, ¿en qué puedo ayudarle?",
        (
            Exchange(
                "Quisiera cambiar mi reserva del viernes al sábado.",
                "Claro que sí. ¿Me dice su número de reserva, por favor?",
            ),
            Exchange(
                "Es el ocho cinco dos uno, a nombre de Ibáñez.",
                "Perfecto. El sábado tenemos la misma habitación con vistas al mar, sin coste adicional.",
                Tool("change_booking", {"booking": 8521, "day": "saturday"}, {"ok": True, "extra": 0}),
            ),
            Exchange(
                "¡Qué bien! ¿Y a partir de qué hora puedo entrar?",
                "A partir de las tres de la tarde. Puede dejar el equipaje antes en recepción.",
            ),
        ),
        "Gracias a usted. ¡Hasta el sábado!",
    ),
    Scene(
        "router",
        "help-desk",
        "お電話ありがとうございます。サポート窓口です。",
        (
            Exchange(
                "昨日からインターネットがつながりません。",
                "ご不便をおかけして申し訳ございません。ルーターのランプは何色ですか?",
            ),
            Exchange(
                "赤いランプが点滅しています。",
                "確認しました。お住まいの地域で工事があり、今夜八時までに復旧する見込みです。",
                Tool("line_status", {"area": "setagaya"}, {"fault": True, "until": "20:00"}),
            ),
            Exchange(
                "わかりました。料金はどうなりますか?", "停止した一日分は、来月のご請求から差し引きます。"
            ),
        ),
        "お問い合わせありがとうございました。",
    ),
    Scene(
        "taxi",
        "dispatch",
        "أهلاً بك في خدمة سيارات الأجرة، إلى أين تريد الذهاب؟",
        (
            Exchange(
                "أريد سيارة إلى المطار في الساعة السادسة صباحاً.",
                "بكل سرور. من أي عنوان نأخذك؟",
            ),
            Exchange(
                "من شارع النيل رقم اثني عشر.",
                "تم الحجز. ستصل السيارة قبل السادسة بخمس دقائق.",
                Tool("book_taxi", {"from": "12 Nile St", "time": "06:00"}, {"car": "ت 4821"}),
            ),
        ),
        "شكراً لاتصالك، رحلة سعيدة.",
    ),
    Scene(
        "tickets",
        "box-office",
        "Hello, you have reached the box office. Which show is it about?",
        (
            Exchange(
                "The concert on the twelfth. Are there any seats left?",
                "There are a few: two in row nine, and several on the balcony.",
                Tool("seats", {"show": "12"}, {"row 9": 2, "balcony": 11}),
            ),
            Exchange("How much are the ones in row nine?", "Sixty-eight euros each, including the fee."),
            Exchange(
                "Hmm, that's a bit much. And the balcony?",
                "Thirty-four euros. You see the whole stage from there, and the sound is very good.",
            ),
            Exchange(
                "Then two on the balcony, please.",
                "Two tickets on the balcony. I have sent you a link to pay; they are yours for twenty minutes.",
                Tool("hold_seats", {"area": "balcony", "count": 2}, {"hold": "B-771", "minutes": 20}),
            ),
        ),
        "Enjoy the concert. Goodbye.",
    ),
)

FIRST: Final = ("Ana", "Ben", "Chloé", "Deniz", "Elif", "Farid", "Grace", "Hugo", "Ines", "Jonas", "Kaito")
SECOND: Final = ("Lena", "Mateo", "Nadia", "Omar", "Priya", "Quinn", "Rosa", "Samir", "Tomás", "Uma", "Yara")
CALLERS: Final = FIRST + SECOND
