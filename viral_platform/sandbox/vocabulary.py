"""Words of the simulated feed: captions, hashtags, names of sounds and creators.

All sentences were written for the simulator. Hooks, questions and calls to action occur as often
for posts that do well as for posts that do not: no word here carries a signal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

Language = Literal["vi", "en", "es"]

# The hotels set that the other figures come from is mostly Vietnamese (78%) and English (11%);
# the shares are flatter here so that a small demo shows every language.
LANGUAGE_SHARES: Mapping[Language, float] = {"vi": 0.45, "en": 0.40, "es": 0.15}

HOOKS: Mapping[Language, Sequence[str]] = {
    "en": (
        "Stop scrolling, this one is for you.",
        "Nobody told me this secret.",
        "The worst mistake I ever made.",
        "I was wrong about this.",
        "POV: you finally found it.",
        "You never knew you needed this.",
        "But wait, here's the thing.",
        "Last week I almost gave up.",
        "The truth about it, actually.",
        "3 things everyone gets wrong.",
    ),
    "vi": (
        "Dừng lại 3 giây nào.",
        "Bí mật không ai nói với bạn.",
        "Sai lầm lớn nhất của mình.",
        "POV: cuối cùng cũng tìm ra rồi.",
        "Đừng bao giờ bỏ qua điều này.",
        "Sự thật là như thế này nè.",
        "Hôm qua mình suýt bỏ cuộc.",
        "3 điều ai cũng làm sai.",
    ),
    "es": (
        "Para un segundo y mira esto.",
        "El secreto que nadie te cuenta.",
        "El peor error que cometí.",
        "POV: por fin lo encontraste.",
        "La verdad es otra.",
        "3 cosas que todos hacen mal.",
    ),
}

QUESTIONS: Mapping[Language, Sequence[str]] = {
    "en": (
        "Would you try it?",
        "Which one is yours?",
        "Am I the only one?",
        "What should I do next?",
        "Did you know this?",
    ),
    "vi": (
        "Bạn có dám thử không?",
        "Bạn chọn cái nào?",
        "Có ai giống mình không?",
        "Bạn biết chưa?",
        "Lần sau làm gì đây?",
    ),
    "es": ("¿Lo probarías?", "¿Cuál eliges?", "¿Soy la única persona?", "¿Lo sabías?"),
}

CALLS: Mapping[Language, Sequence[str]] = {
    "en": (
        "Save this for later!",
        "Follow for part 2.",
        "Tag a friend who needs it.",
        "Comment your favourite below.",
        "Link in bio.",
    ),
    "vi": (
        "Lưu lại để dành nhé!",
        "Theo dõi mình để xem phần 2.",
        "Gắn thẻ đứa bạn thân vào đây.",
        "Bình luận cho mình biết nha.",
        "Chia sẻ cho cả nhà cùng xem.",
    ),
    "es": (
        "¡Guárdalo para después!",
        "Sígueme para la parte 2.",
        "Etiqueta a un amigo.",
        "Comenta tu favorito.",
    ),
}

SOUND_LINES: Mapping[Language, str] = {
    "en": "Sound: {sound}",
    "vi": "Nhạc: {sound}",
    "es": "Música: {sound}",
}

ORIGINAL_SOUND: Mapping[Language, str] = {
    "en": "original sound - {nick}",
    "vi": "nhạc nền - {nick}",
    "es": "sonido original - {nick}",
}

BODIES: Mapping[str, Mapping[Language, Sequence[str]]] = {
    "food": {
        "en": (
            "Crispy noodles in {n} minutes with what is left in the fridge",
            "Trying {n} street snacks at the night market",
            "My grandmother's soup, exactly {n} ingredients",
            "One pan, {n} eggs and a very hungry family",
        ),
        "vi": (
            "Bún bò nhà làm chỉ {n} phút là xong",
            "Thử {n} món ăn vặt ở chợ đêm",
            "Công thức cơm tấm của bà ngoại với {n} nguyên liệu",
            "Quán này bán {n} năm rồi mà vẫn đông",
        ),
        "es": (
            "Tacos caseros en {n} minutos",
            "Probando {n} puestos del mercado",
            "La sopa de mi abuela con {n} ingredientes",
        ),
    },
    "travel": {
        "en": (
            "{n} quiet beaches that still feel empty",
            "A weekend in the mountains for {n} dollars",
            "What {n} days by train taught me",
            "The room with the best view in town, night {n}",
        ),
        "vi": (
            "Homestay view biển, đi {n} ngày không muốn về",
            "{n} quán cà phê đẹp ở Đà Lạt",
            "Lịch trình {n} ngày cho người đi lần đầu",
            "Phòng này ở được {n} người, sạch và yên tĩnh",
        ),
        "es": (
            "{n} playas tranquilas que casi nadie visita",
            "Un fin de semana con {n} euros",
            "Lo que aprendí en {n} días de tren",
        ),
    },
    "fitness": {
        "en": (
            "Day {n} of showing up even when it rains",
            "A {n} minute workout without any equipment",
            "How I learned my first pull-up in {n} weeks",
        ),
        "vi": (
            "Ngày thứ {n} tập đều, mưa cũng tập",
            "Bài tập {n} phút tại nhà không cần dụng cụ",
            "Mình hít xà được sau {n} tuần như thế này",
        ),
        "es": (
            "Día {n} de entrenar aunque llueva",
            "Rutina de {n} minutos sin equipo",
            "Mi primera dominada en {n} semanas",
        ),
    },
    "beauty": {
        "en": (
            "Soft everyday look in {n} steps",
            "{n} things in my bag that I use until they are empty",
            "Hair routine after {n} years of bleaching",
        ),
        "vi": (
            "Trang điểm nhẹ nhàng chỉ {n} bước",
            "{n} món mình dùng đến hết mới thôi",
            "Chăm tóc sau {n} năm tẩy nhuộm",
        ),
        "es": (
            "Maquillaje natural en {n} pasos",
            "{n} productos que sí termino",
            "Mi rutina del pelo después de {n} años",
        ),
    },
    "tech": {
        "en": (
            "{n} settings on your phone to change today",
            "I rebuilt my desk for under {n} dollars",
            "This keyboard survived {n} cups of coffee",
        ),
        "vi": (
            "{n} cài đặt trên điện thoại nên đổi ngay",
            "Góc làm việc mới dưới {n} triệu",
            "Bàn phím này sống sót sau {n} ly cà phê",
        ),
        "es": (
            "{n} ajustes del móvil para cambiar hoy",
            "Mi escritorio nuevo por {n} euros",
            "Este teclado sobrevivió a {n} cafés",
        ),
    },
    "education": {
        "en": (
            "Learn {n} words before breakfast",
            "How I remember {n} dates without stress",
            "A {n} second explanation of why the sky is blue",
        ),
        "vi": (
            "Học {n} từ vựng trước bữa sáng",
            "Cách mình nhớ {n} mốc lịch sử",
            "Giải thích trong {n} giây vì sao trời xanh",
        ),
        "es": (
            "Aprende {n} palabras antes del desayuno",
            "Cómo recuerdo {n} fechas sin estrés",
            "En {n} segundos: por qué el cielo es azul",
        ),
    },
}

NICHES: tuple[str, ...] = tuple(BODIES)

EMOJI: tuple[str, ...] = ("😂", "🔥", "💕", "🌤️", "👀", "✨", "😭", "🥰")

# H, 26,714 uses of hashtags on 4,268 videos: the share of the ten most used that name no subject.
GENERIC_TAG_SHARES: Mapping[str, float] = {
    "xuhuong": 0.0290,
    "fyp": 0.0169,
    "viral": 0.0094,
    "trending": 0.0082,
    "xuhuongtiktok": 0.0078,
    "capcut": 0.0070,
    "xh": 0.0041,
    "tiktok": 0.0036,
    "fypシ": 0.0030,
    "foryou": 0.0029,
}

# Tags seen first are the popular ones of a Pitman-Yor draw, so they get words of no niche.
EVERYDAY_TAGS: tuple[str, ...] = (
    "vlog",
    "daily",
    "cuocsong",
    "tips",
    "review",
    "haihuoc",
    "story",
    "vietnam",
    "weekend",
    "family",
    "vida",
    "love",
    "storytime",
    "trangchu",
    "learnontiktok",
    "diy",
)

TAG_ROOTS: Mapping[str, Sequence[str]] = {
    "food": ("food", "anngon", "comida", "recipe", "monngon", "streetfood", "noodles", "cocina"),
    "travel": ("travel", "dulich", "viaje", "homestay", "hotel", "beach", "reviewdulich", "dalat"),
    "fitness": ("fitness", "gym", "tapluyen", "workout", "yoga", "running", "giamcan", "entreno"),
    "beauty": ("beauty", "lamdep", "makeup", "skincare", "belleza", "hair", "trangdiem", "outfit"),
    "tech": ("tech", "congnghe", "phone", "setup", "gadget", "coding", "dienthoai", "tecnologia"),
    "education": (
        "study",
        "hoctap",
        "english",
        "learn",
        "giaoduc",
        "history",
        "science",
        "aprende",
    ),
}

TAG_ENDINGS: tuple[str, ...] = (
    "",
    "tok",
    "vietnam",
    "tips",
    "lover",
    "daily",
    "challenge",
    "review",
    "hanoi",
    "saigon",
    "life",
    "time",
    "goals",
    "diary",
    "hacks",
    "vibes",
    "ngon",
    "dep",
    "mexico",
    "home",
)

SOUND_FIRST: tuple[str, ...] = (
    *("Paper", "Midnight", "Velvet", "Golden", "Neon", "Silver", "Slow", "Quiet", "Electric"),
    *("Lemon", "Crystal", "Wild", "Summer", "Broken", "Hollow", "Distant", "Sugar", "Winter"),
    *("Đêm", "Mưa", "Nắng", "Gió", "Phố", "Biển", "Luna", "Fuego", "Cielo", "Corazón"),
)

SOUND_SECOND: tuple[str, ...] = (
    *("Lanterns", "Harbour", "Satellite", "Garden", "Motorbike", "Rivers", "Mirror", "Balcony"),
    *("Static", "Postcard", "Horizon", "Carousel", "Kites", "Elevator", "Signals", "Compass"),
    *("Sài Gòn", "Hà Nội", "Tháng Sáu", "Mùa Hạ", "Azul", "Nocturna", "Sin Fin", "Avenue"),
)

SOUND_VERSIONS: tuple[str, ...] = ("", "", "", "", " (Sped Up)", " (Remix)", " (Lofi)")

ARTISTS: tuple[str, ...] = (
    *("Sim Nova", "Sim Hương", "Sim Collective", "DJ Sim", "Sim Duo", "Los Sim"),
    *("Sim Orchestra", "Sim Thảo", "Sim Radio", "MC Sim"),
)

CREATOR_WORDS: tuple[str, ...] = (
    *("lan", "minh", "sofia", "bep", "alex", "nomad", "chi", "mateo", "luna", "studio"),
    *("daily", "nha", "coach", "corner", "story", "kids", "pixel", "garden", "wander", "maker"),
)

PLACES: tuple[tuple[str, str], ...] = (
    ("Can Tho", "Vietnam"),
    ("Da Nang", "Vietnam"),
    ("Ha Noi", "Vietnam"),
    ("Valencia", "Spain"),
    ("Leeds", "United Kingdom"),
)

STICKERS: tuple[tuple[str, str], ...] = (
    ("900000001", "Sim Sparkle"),
    ("900000002", "Sim Retro Frame"),
    ("900000003", "Sim Green Screen"),
)
