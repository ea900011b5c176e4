"""Chat templates: such as escape from a sandbox, with the words of their refusal, and such as real models have."""

INSIDE = "reaches for Python's internals"
PRIVATE = "reads a private attribute"
MADE_UP = "by a name that is made up while it runs"
ESCAPES = "hides underscores behind escapes"
PIECES = "puts names together out of underscores"
LOADS = "loads another template"
REPEATS = "repeats something more often"

BAD_TEMPLATES = (
    ("{{ ''.__class__.__mro__[1].__subclasses__() }}", INSIDE),
    ("{{ cycler.__init__.__globals__.os.popen('id').read() }}", INSIDE),
    ("{{ lipsum.__globals__['os'].system('id') }}", INSIDE),
    ("{{ messages[0]['__class__'] }}", INSIDE),
    ("{{ namespace.__init__.__builtins__ }}", INSIDE),
    ("{{ messages | map(attribute='__class__') | list }}", INSIDE),
    ("{{ '{0.__class__}'.format(messages) }}", INSIDE),
    ("{{ messages | selectattr('__class__') | list }}", INSIDE),
    ("{% set x = 'a'.__class__ %}", INSIDE),
    ("{{ raise_exception.__func__ }}", INSIDE),
    ("{{ self._TemplateReference__context }}", PRIVATE),
    ("{{ messages['_private'] }}", PRIVATE),
    ("{{ loop._current }}", PRIVATE),
    ('{{ messages["_x"] }}', PRIVATE),
    ("{{ messages|attr('class') }}", MADE_UP),
    ("{{ messages | attr(name) }}", MADE_UP),
    (r"{{ ''['\x5f\x5fclass\x5f\x5f'] }}", ESCAPES),
    (r"{{ ''['\u005f\u005fclass\u005f\u005f'] }}", ESCAPES),
    (r"{{ ''['\137\137class\137\137'] }}", ESCAPES),
    (r"{{ ''['\N{LOW LINE}'] }}", ESCAPES),
    ("{{ ''['_' ~ '_class_' ~ '_'] }}", PIECES),
    ("{{ ''['__' + 'class' + '__'] }}", PIECES),
    ("{{ ''['_' * 2] }}", PIECES),
    ("{{ ''[('_', '_') | join ~ '_'] }}", PIECES),
    ("{% include 'other' %}", LOADS),
    ("{%- import 'other' as o -%}", LOADS),
    ("{%+ from 'other' import x %}", LOADS),
    ("{% extends 'other' %}", LOADS),
    ("{{ 'a' * 999999999 }}", REPEATS),
    ("{{ 1000000 * 'a' }}", REPEATS),
    ("{{ 9 ** 9 ** 9 }}", REPEATS),
    ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", REPEATS),
    ("{{ 'x' }}" * 40_000, "is longer than"),
)

GOOD_TEMPLATES = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + "
    "'\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
    "{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}"
    "{%- for message in messages[::-1] %}{%- set index = (messages|length - 1) - loop.index0 %}"
    "{%- if message.role == 'user' and not (message.content.startswith('<tool_response>')) %}"
    "{%- set ns.multi_step_tool = false %}{%- endif %}{%- endfor %}"
    "{{- message.content.split('</think>')[-1].lstrip('\\n') }}{{- tool | tojson }}",
    "{% set image_count = namespace(value=0) %}{% for content in message['content'] %}"
    "{% if content['type'] == 'image' or 'image_url' in content %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}",
    "{{- bos_token }}{%- if not date_string is defined %}{%- set date_string = strftime_now('%d %b %Y') %}{%- endif %}"
    "{%- if messages[0]['role'] not in ['user', 'system'] %}{{ raise_exception('Conversation roles!') }}{%- endif %}"
    "{#- from here on: include the tools -#}{{ 'You may import nothing. _Note:_ be_brief.' }}",
    "{% macro render(param, depth=0) %}{{ '  ' * depth ~ param.name }}{% endmacro %}{% generation %}{{ render(x) }}"
    "{% endgeneration %}{{ messages | selectattr('role', 'equalto', 'system') | map(attribute='content') | join('') }}",
    "{% for i in range(10) %}{{ '_' }}{% endfor %}**bold** is written so: 2 * 3".replace("**bold** ", ""),
)
