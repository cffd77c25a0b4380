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

fn refused(text: &str) -> TemplateError {
    render_untrusted(text, &value()).expect_err(text)
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
fn errors_name_the_template_the_line_and_what_to_do() {
    let templates = BTreeMap::from([("url".to_owned(), "a\n{{ pasword }}".to_owned())]);
    let error = render(&templates, &value()).expect_err("refused");
    assert_eq!(
        error.to_string(),
        "template `url`, line 2: the value has no key `pasword`; write `keys[\"a.b\"]` for a name that is not an identifier"
    );
}

#[test]
fn several_secrets_are_named_by_name() {
    let mut mail = Value::new();
    mail.insert("password", b"m".to_vec());
    let db = value();
    let mut renderer = Renderer::new(Scope::of_secrets([("db", &db), ("mail", &mail)]));
    let text = "{{ db.username }}:{{ mail.password }}:{{ db['tls.crt'] | length }}";
    let bytes = renderer.render("f", text).expect("rendered");
    assert_eq!(bytes.expose(), b"checkout:m:59");
    let error = renderer.render("f", "{{ dbb.username }}").expect_err("refused");
    assert_eq!(
        error.to_string(),
        "template `f`, line 1: there is no secret called `dbb`: use a name from `secrets`"
    );
    let error = renderer.render("f", "{{ db.nothing }}").expect_err("refused");
    assert_eq!(error.problem, Problem::Undefined);
}

#[test]
fn what_could_grow_or_reach_out_is_refused() {
    let statement = |name: &str| Problem::Forbidden(Forbidden::Statement { name: name.into() });
    let operator = |operator| Problem::Forbidden(Forbidden::Operator { operator });
    for (text, problem) in [
        ("{% set a = long %}", statement("set")),
        ("{%- with a = long %}{% endwith %}", statement("with")),
        ("{% filter upper %}x{% endfilter %}", statement("filter")),
        (
            "{% autoescape true %}x{% endautoescape %}",
            statement("autoescape"),
        ),
        ("{% raw %}{{ a ~ b }}{% endraw %}", statement("raw")),
        ("{{ long ~ long }}", operator('~')),
        ("{{ 'it\\'s' ~ long }}", operator('~')),
        ("{{ (long + long) }}", operator('+')),
        ("{{ long * 1000 }}", operator('*')),
        ("{% if long ~ long == long %}{% endif %}", operator('~')),
        ("{{ {'a': long}.a }}", Problem::Forbidden(Forbidden::Map)),
        (
            "{% for a in [long, long, long] %}{% endfor %}",
            Problem::Forbidden(Forbidden::List),
        ),
        (
            &format!("{{{{ [{}] | join }}}}", "long,".repeat(70)),
            Problem::Forbidden(Forbidden::List),
        ),
        (
            &format!("{}x{}", "{% for a in [1] %}".repeat(4), "{% endfor %}".repeat(4)),
            Problem::Forbidden(Forbidden::Nesting),
        ),
        (
            "{{ long | replace('x', long) }}",
            Problem::Filter(FilterError::TooLarge { filter: "replace" }),
        ),
        (
            "{{ [long, long, long, long, long] | join }}",
            Problem::Filter(FilterError::TooLarge { filter: "join" }),
        ),
        (
            "{{ [long, long] | upper }}",
            Problem::Filter(FilterError::NotText { filter: "upper" }),
        ),
        ("{{ keys }}", Problem::Filter(FilterError::PrintList)),
        ("{{ binary }}", Problem::Filter(FilterError::PrintBytes)),
        (
            "{{ password | b64decode }}",
            Problem::Filter(FilterError::NotBase64),
        ),
        (
            "{{ [password] | pem_bundle }}",
            Problem::Filter(FilterError::NotPem),
        ),
        (&"{{ long }}".repeat(20), Problem::OutputTooLarge),
        (&"x".repeat(TEMPLATE_BYTES + 1), Problem::TemplateTooLarge),
        (
            "{% for a in long %}{% for b in long %}{% endfor %}{% endfor %}",
            Problem::TooLong,
        ),
        ("{{ keys.nothing }}", Problem::Undefined),
        ("{{ password - 1 }}", Problem::WrongKind),
    ] {
        assert_eq!(
            refused(text).problem,
            problem,
            "{}",
            text.chars().take(80).collect::<String>()
        );
    }
    for text in [
        "{% include 'a' %}",
        "{% extends 'a' %}",
        "{% import 'a' as b %}",
        "{% macro a() %}{% endmacro %}",
        "{{",
        "{{ a | nothing }}",
    ] {
        assert!(matches!(refused(text).problem, Problem::Syntax { .. }), "{text}");
    }
}

#[test]
fn errors_never_show_a_value() {
    let mut value = Value::new();
    value.insert("a", b"MARKER".to_vec());
    for text in [
        "{{ a - 1 }}",
        "{{ a | indent(a) }}",
        "{{ a | b64decode }}",
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

#[test]
fn all_templates_share_one_limit() {
    let half = "{{ long }}".repeat(9);
    let templates = BTreeMap::from([("a".to_owned(), half.clone()), ("b".to_owned(), half)]);
    assert_eq!(
        render(&templates, &value()).expect_err("too large").problem,
        Problem::OutputTooLarge
    );
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

    /// The guard and the engine agree on where tags end: what the guard lets through has no joining operator.
    #[test]
    fn text_outside_of_tags_stays(text in "[^{}#%]{0,80}") {
        prop_assert_eq!(rendered(&text), text);
    }
}
