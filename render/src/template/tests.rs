use proptest::prelude::*;

use super::*;

fn value() -> Value {
    let mut value = Value::new();
    for (key, text) in [
        ("username", "checkout"),
        ("password", "p@ss/w\"rd"),
        (
            "tls.crt",
            "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n",
        ),
        (
            "ca_crt",
            "-----BEGIN CERTIFICATE-----\nBB==\n-----END CERTIFICATE-----",
        ),
        ("lines", "a\nb\n\nc"),
        ("wrapped", "d3JhcHBlZCBh\r\ndCBzb21lIGNv\r\nbHVtbg\r\n"),
        ("url", "-_-_"),
        ("long", &"x".repeat(60_000)),
    ] {
        value.insert(key, text.as_bytes().to_vec());
    }
    value.insert("binary", vec![0xff, 0x00]);
    value
}

fn rendered(text: &str) -> String {
    let bytes = render_untrusted(text, &value()).unwrap_or_else(|error| panic!("{text}: {error}"));
    String::from_utf8(bytes.expose().to_vec()).expect("text")
}

fn refused(text: &str) -> RenderError {
    render_untrusted(text, &value()).map(drop).expect_err(text)
}

/// What is wrong with a template, whatever is in the value.
fn problem(text: &str) -> Problem {
    match refused(text) {
        RenderError::Template(error) => error.problem,
        RenderError::Mismatch(mismatch) => panic!("{text}: {mismatch}"),
    }
}

/// Why a template does not fit the value.
fn detail(text: &str) -> String {
    match refused(text) {
        RenderError::Mismatch(mismatch) => mismatch.detail().expose().to_owned(),
        RenderError::Template(error) => panic!("{text}: {error}"),
    }
}

#[test]
fn templates_fill_in_keys() {
    for (text, expected) in [
        (
            "postgresql://{{ username }}:{{ password | urlencode }}@db/shop",
            "postgresql://checkout:p%40ss%2Fw%22rd@db/shop",
        ),
        (
            "{{ keys.username }} {{ keys[\"username\"] }}",
            "checkout checkout",
        ),
        ("{{ keys['tls.crt'] | length }}", "59"),
        (
            "{\"auth\": {{ [username, ':', password] | join | b64encode | tojson }}}",
            "{\"auth\": \"Y2hlY2tvdXQ6cEBzcy93InJk\"}",
        ),
        ("{{ password | quote }}", "\"p@ss/w\\\"rd\""),
        ("{{ username | b64encode | b64decode }}", "checkout"),
        (
            "{{ binary | b64encode }} {{ binary | b64encode(urlsafe=true) }}",
            "/wA= _wA",
        ),
        ("{{ binary | b64encode | b64decode | b64encode }}", "/wA="),
        (
            "{{ [keys['tls.crt'], ca_crt] | pem_bundle }}",
            "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n-----BEGIN CERTIFICATE-----\nBB==\n-----END CERTIFICATE-----\n",
        ),
        (
            "{{ keys['tls.crt'] | pem_bundle }}",
            "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n",
        ),
        (
            "{{ wrapped | b64decode }} {{ url | b64decode | length }}",
            "wrapped at some column 3",
        ),
        (
            "{% raw %}{{ .Values.a ~ 'b' }}{% set x %}{% endraw %} {{ username }}",
            "{{ .Values.a ~ 'b' }}{% set x %} checkout",
        ),
        (
            "{{ [username, password] | tojson }}",
            "[\"checkout\",\"p@ss/w\\\"rd\"]",
        ),
        ("{{ lines | indent(2) }}", "a\n  b\n\n  c"),
        ("{{ username | upper | replace('C', 'k') | trim }}", "kHEkKOUT"),
        (
            "{% if port is defined %}{{ port }}{% else %}5432{% endif %}",
            "5432",
        ),
        ("{{ port | default('5432') }}", "5432"),
        (
            "{% for key in [username, 'b'] %}{{ loop.index }}{{ key }};{% endfor %}",
            "1checkout;2b;",
        ),
        ("{# a + comment ~ #}{{- username -}}  x", "checkoutx"),
        ("a + b ~ c\n", "a + b ~ c\n"),
        ("{{ 'a + b' }}", "a + b"),
    ] {
        assert_eq!(rendered(text), expected, "{text}");
    }
}

#[test]
fn a_template_of_one_expression_gives_bytes() {
    for (text, bytes) in [
        ("{{ binary }}", &[0xff, 0x00][..]),
        ("{{- keys['binary'] -}}", &[0xff, 0x00]),
        ("{{ url | b64decode }}", &[0xfb, 0xff, 0xbf]),
        ("{{ [binary] | first }}", &[0xff, 0x00]),
        ("{{ username }}", b"checkout"),
    ] {
        let rendered = render_untrusted(text, &value()).expect(text);
        assert_eq!(rendered.expose(), bytes, "{text}");
    }
    for text in [
        "{{ binary }}\n",
        "x{{ binary }}",
        "{% if binary %}{{ binary }}{% endif %}",
        "{{ binary | tojson }}",
        "{{ [binary] | tojson }}",
        "{{ keys | tojson }}",
    ] {
        assert!(detail(text).contains("b64encode"), "{text}: {}", detail(text));
    }
}

#[test]
fn errors_name_the_template_and_what_to_do() {
    const RAW: &str = "text with another language's braces goes between `{% raw %}` and `{% endraw %}`";
    for (text, said) in [
        (
            "a\n{{ pasword }}",
            "template `template`: the value has no key `pasword`; write `keys[\"tls.crt\"]` for a name that is not an identifier",
        ),
        ("{{ keys.nothing }}", "the value has no key `nothing`"),
        ("{{ keys[\"no.thing\"] }}", "the value has no key `no.thing`"),
        ("{{ name }}", "the value has no key `name`"),
        ("{{ .Values.name }}", "template `template`, line 1: "),
        ("{{ include \"x\" . }}", "line 1: "),
        (
            "{{ range .Items }}{{ end }}",
            "the value has no key `end`, `range`",
        ),
        ("a\n{% set a = long %}", "line 2: `set` is not allowed"),
        ("{{ {'a': 1} }}", "a map in braces"),
        ("{{ a | nothing }}", "nothing"),
        ("${#name}", "line 1: "),
    ] {
        let error = refused(text).to_string();
        assert!(error.contains(said), "{text}: {error}");
        assert!(error.ends_with(RAW), "{text}: {error}");
    }
}

#[test]
fn keys_that_the_language_reads_as_something_else_are_refused_with_how_they_are_written() {
    let mut value = Value::new();
    for key in [
        "true",
        "none",
        "not",
        "loop",
        "db-password",
        "tls.crt",
        "007",
        "db",
        "password",
    ] {
        value.insert(key, key.as_bytes().to_vec());
    }
    for (text, key) in [
        ("{{ true }}", "true"),
        ("{{ none }}", "none"),
        ("{{ not }}", "not"),
        ("{% for a in [db] %}{{ loop }}{% endfor %}", "loop"),
        ("{{ db-password }}", "db-password"),
        ("{{ keys.db-password }}", "db-password"),
        ("{{ tls.crt | default('x') }}", "tls.crt"),
        ("{{ 007 }}", "007"),
    ] {
        let written = format!("keys[\"{key}\"]");
        let error = render_untrusted(text, &value).expect_err(text).to_string();
        assert!(error.contains(&format!("`{written}`")), "{text}: {error}");
        let rendered = render_untrusted(&format!("{{{{ {written} }}}}"), &value).expect(&written);
        assert_eq!(rendered.expose(), key.as_bytes());
    }
}

#[test]
fn several_secrets_are_named_by_name() {
    let mut mail = Value::new();
    mail.insert("password", b"m".to_vec());
    let db = value();
    let mut renderer = Renderer::new(Scope::from_secrets([("db", &db), ("mail-out", &mail)]));
    for (text, rendered) in [
        (
            "{{ db.username }}:{{ secrets[\"mail-out\"].password }}:{{ db['tls.crt'] | length }}",
            "checkout:m:59",
        ),
        ("{{ db.username }}", "checkout"),
    ] {
        renderer.check("f", text).expect(text);
        assert_eq!(
            renderer.render("f", text).expect(text).expose(),
            rendered.as_bytes()
        );
    }
    for (text, said) in [
        (
            "{{ mail-out.password }}",
            "write `secrets[\"mail-out\"]` for the key",
        ),
        ("{{ db.tls.crt }}", "write `db[\"tls.crt\"]` for the key"),
    ] {
        let error = renderer.check("f", text).expect_err(text).to_string();
        assert!(error.contains(said), "{text}: {error}");
    }
    for (text, said) in [
        (
            "{{ dbb.username }}",
            "template `f`: there is no secret `dbb`: use a name from `secrets`",
        ),
        ("{{ db.nothing }}", "template `f`: there is no key `db.nothing`"),
    ] {
        renderer.check("f", text).expect(text);
        renderer.render("f", text).map(drop).expect_err(text);
        let error = renderer.demand("f", text).expect_err(text).to_string();
        assert!(error.starts_with(said), "{text}: {error}");
    }
}

#[test]
fn what_could_grow_or_reach_out_is_refused() {
    let statement = |name: &str| Problem::Forbidden(ForbiddenSyntax::Statement { name: name.into() });
    let operator = |operator| Problem::Forbidden(ForbiddenSyntax::Operator { operator });
    for (text, expected) in [
        ("{% set a = long %}", statement("set")),
        ("{%- with a = long %}{% endwith %}", statement("with")),
        ("{% filter upper %}x{% endfilter %}", statement("filter")),
        (
            "{% autoescape true %}x{% endautoescape %}",
            statement("autoescape"),
        ),
        ("{{ long ~ long }}", operator('~')),
        ("{{ 'it\\'s' ~ long }}", operator('~')),
        ("{{ (long + long) }}", operator('+')),
        ("{{ long * 1000 }}", operator('*')),
        ("{% raw %}{% endraw %}{{ long * 1000 }}", operator('*')),
        ("{% if long ~ long == long %}{% endif %}", operator('~')),
        ("{{ {'a': long}.a }}", Problem::Forbidden(ForbiddenSyntax::Map)),
        (
            "{% for a in [long, long, long] %}{% endfor %}",
            Problem::Forbidden(ForbiddenSyntax::List),
        ),
        (
            &format!("{{{{ [{}] | join }}}}", "long,".repeat(70)),
            Problem::Forbidden(ForbiddenSyntax::List),
        ),
        (
            &format!("{}x{}", "{% for a in [1] %}".repeat(4), "{% endfor %}".repeat(4)),
            Problem::Forbidden(ForbiddenSyntax::Nesting),
        ),
        (&"x".repeat(TEMPLATE_BYTES + 1), Problem::TemplateTooLarge),
    ] {
        let start = text.chars().take(80).collect::<String>();
        assert_eq!(problem(text), expected, "{start}");
    }
    for (text, why) in [
        (
            "{{ long | replace('x', long) }}",
            "filter `replace` would produce more than",
        ),
        (
            "{{ [long, long, long, long, long] | join }}",
            "filter `join` would produce more than",
        ),
        ("{{ [long, long] | upper }}", "filter `upper` needs UTF-8 text"),
        ("{{ keys }}", "a list or a map cannot be printed"),
        ("x{{ binary }}", "not UTF-8 text is printed"),
        ("{{ password | b64decode }}", "character 2 is '@'"),
        ("{{ [password] | pem_bundle }}", "in text 1, there is no line"),
        (&"{{ long }}".repeat(20), "larger than 1048576 bytes"),
        (
            "{% for a in long %}{% for b in long %}{% endfor %}{% endfor %}",
            "runs too long",
        ),
        ("{{ password - 1 }}", "line 1"),
        ("{{ username.x }}", "not there"),
    ] {
        assert!(detail(text).contains(why), "{}", detail(text));
    }
    for text in [
        "{% include 'a' %}",
        "{% extends 'a' %}",
        "{% import 'a' as b %}",
        "{% macro a() %}{% endmacro %}",
        "{{",
        "{{ username | nothing }}",
        "{{ username is nothing }}",
    ] {
        assert!(matches!(problem(text), Problem::Syntax { .. }), "{text}");
    }
}

#[test]
fn errors_never_show_a_value() {
    let mut value = Value::new();
    value.insert("a", b"MARKER".to_vec());
    for text in [
        "{{ a - 1 }}",
        "{{ a | indent(a) }}",
        "{{ a | b64decode | upper - 1 }}",
        "{{ a.b.c }}",
        "{{ a() }}",
        "{{ a.b() }}",
        "{{ -a }}",
        "{{ a | replace(a) }}",
        "{{ a | length(a) }}",
        "{% for x, y in a %}{% endfor %}",
        "{{ keys | items | first | join | tojson | b64decode }}",
        "{{ 1 < a.b }}",
        "{{ a[a] }}",
        "{{ a | pem_bundle }}",
    ] {
        let error = render_untrusted(text, &value).expect_err(text);
        assert!(
            !format!("{error} {error:?}").contains("MARKER"),
            "{text}: {error}"
        );
    }
}

/// Values that filters take and refuse, of every kind.
fn contents() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..24),
        "[A-Za-z0-9+/=_-]{0,24}".prop_map(String::into_bytes),
        "\\PC{0,12}".prop_map(String::into_bytes),
        Just(b"-----BEGIN X-----\nAA==\n-----END X-----\n".to_vec()),
        Just(b"-----BEGIN X-----\nAA==\n".to_vec()),
        Just(vec![b'x'; 60_000]),
        Just(vec![0x01; 60_000]),
        Just(Vec::new()),
    ]
}

/// Every filter and test, alone, beside others, behind a condition on the value, and printed.
const ASKING: &[&str] = &[
    "{{ a | b64decode }}",
    "{{ a | b64decode | upper }}",
    "{{ [a, b] | pem_bundle }}",
    "{{ a | pem_bundle }}",
    "{{ a | tojson }}",
    "{{ a | quote }}",
    "{{ a | replace('a', b) }}",
    "{{ [a, b] | join(b) }}",
    "{{ a | indent(4) }}",
    "{{ a | upper }}{{ b | lower }}{{ a | trim }}",
    "{{ a | urlencode }}{{ b | b64encode }}",
    "{{ a | first }} {{ b | last }} {{ a | length }}",
    "{{ keys | items | first | join }}",
    "{% if a is startingwith('x') %}\n{{ a | b64decode }}{% else %}{{ b | pem_bundle }}{% endif %}",
    "{% if a is endingwith(b) %}{{ a - 1 }}{% endif %}",
    "{% for c in a %}{% for d in b %}{{ c }}{% endfor %}{% endfor %}",
    "x{{ a }}",
    "{{ a }}{{ b }}",
    "{{ a.b }}",
    "{{ a[b] }}",
    "{{ a - b }}",
    "{{ a is defined and missing }}",
];

#[test]
fn all_templates_share_one_limit() {
    let half = "{{ long }}".repeat(9);
    let templates = BTreeMap::from([("a".to_owned(), half.clone()), ("b".to_owned(), half)]);
    let error = render(&templates, &value()).expect_err("too large");
    assert!(matches!(error, RenderError::Mismatch(_)), "{error}");
}

fn fragments() -> impl Strategy<Value = String> {
    let pieces = prop_oneof![
        Just("{{"),
        Just("}}"),
        Just("{%"),
        Just("%}"),
        Just("{#"),
        Just("#}"),
        Just("-"),
        Just(" for a in "),
        Just(" endfor "),
        Just(" if "),
        Just(" else "),
        Just(" endif "),
        Just("long"),
        Just("username"),
        Just("keys"),
        Just("binary"),
        Just("["),
        Just("]"),
        Just("("),
        Just(")"),
        Just("'"),
        Just("\""),
        Just("\\"),
        Just("|"),
        Just("join"),
        Just("tojson"),
        Just("replace('x', long)"),
        Just(","),
        Just(" in "),
        Just(" is "),
        Just("defined"),
        Just("~"),
        Just("*"),
        Just("1"),
        Just("."),
        Just(" set a = "),
        Just("\n"),
        Just("é"),
        Just(" ~ long"),
        Just("{{ username }}"),
        Just("{{ long | b64encode }}"),
        Just(":"),
        Just("loop.index"),
    ];
    proptest::collection::vec(pieces, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn any_text_gives_an_answer(text in prop_oneof![fragments(), ".{0,200}".prop_map(|text| text)]) {
        if let Ok(bytes) = render_untrusted(&text, &value()) {
            prop_assert!(bytes.expose().len() <= OUTPUT_BYTES);
        }
    }

    /// Whoever hears why a value is refused learns nothing of it: not even which of two templates or filters
    /// it was.
    #[test]
    fn every_two_values_that_do_not_fit_are_refused_in_the_same_words(
        first in proptest::sample::select(ASKING), second in proptest::sample::select(ASKING),
        a in contents(), b in contents(), c in contents(), d in contents(),
    ) {
        let templates = BTreeMap::from([("one".to_owned(), first.to_owned()), ("two".to_owned(), second.to_owned())]);
        let refused = |a: &[u8], b: &[u8]| {
            let mut value = Value::new();
            value.insert("a", a.to_vec());
            value.insert("b", b.to_vec());
            render(&templates, &value).map(drop).map_err(|error| format!("{error} {error:?}"))
        };
        if let (Err(one), Err(other)) = (refused(&a, &b), refused(&c, &d)) {
            prop_assert_eq!(one, other);
        }
    }

    /// The guard and the engine agree on where tags end: what the guard lets through has no joining operator.
    #[test]
    fn text_outside_of_tags_stays(text in "[^{}#%]{0,80}") {
        prop_assert_eq!(rendered(&text), text);
    }
}
