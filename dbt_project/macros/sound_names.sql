{#- One form of a sound's name, for keys and comparisons. -#}
{% macro normalized_sound_name(sound_name) -%}
    lower(regexp_replace(btrim(normalize({{ sound_name }}, nfc)), '\s+', ' ', 'g'))
{%- endmacro %}


{#-
    True when a normalised name only says that the sound is the post's own. The names are those
    that crawls hold, in the language of each author, alone or before " - author".
-#}
{% macro is_generic_sound_name(normalized_name) -%}
    {%- set generic_names = [
        'original sound', 'original audio', 'original music', 'nhạc nền', 'âm thanh gốc',
        'sonido original', 'som original', 'son original', 'suono originale', 'suara asli',
        'bunyi asal', 'origineel geluid', 'original ton', 'originalton', 'originalljud',
        'original lyd', 'orijinal ses', 'oryginalny dźwięk', 'оригинальный звук',
        'оригінальний звук', 'الصوت الأصلي', 'เสียงต้นฉบับ', 'オリジナル楽曲', '原聲', '原声',
        '오리지널 사운드',
    ] -%}
    coalesce({{ normalized_name }} ~ '^({{ generic_names | join("|") }})( ?[-–—].*)?$', false)
{%- endmacro %}
