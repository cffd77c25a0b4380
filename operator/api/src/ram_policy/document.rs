//! A policy of RAM as it is written: which fields there are, and of what type, each with its place. What they
//! say is read elsewhere.

use strongroom_crds::v1alpha1::PolicyEffect;

use super::error::{RamPolicyError, RamPolicyReason, quoted};
use super::json::{JsonMember, JsonNode, JsonValue, Position, member_path};

/// The only version of the language.
const VERSION: &str = "1";
/// All that a document may have.
const POLICY_FIELDS: [&str; 2] = ["Version", "Statement"];
/// All that one of its statements may have,
const STATEMENT_FIELDS: [&str; 6] = ["Sid", "Effect", "Principal", "Action", "Resource", "Condition"];
/// and what turns a statement into all but what it says: refused.
const NEGATED_FIELDS: [&str; 3] = ["NotAction", "NotResource", "NotPrincipal"];

/// Something that the document says, and where.
#[derive(Clone, Debug)]
pub(super) struct Located<T> {
    pub(super) at: Position,
    pub(super) path: String,
    pub(super) value: T,
}

impl<T> Located<T> {
    pub(super) fn error(&self, reason: RamPolicyReason) -> RamPolicyError {
        RamPolicyError::new(self.at, self.path.as_str(), reason)
    }

    fn with<U>(&self, value: U) -> Located<U> {
        Located {
            at: self.at,
            path: self.path.clone(),
            value,
        }
    }
}

/// Texts of a field, at least one.
pub(super) type Texts<'a> = Located<Vec<Located<&'a str>>>;

/// One permission or prohibition.
#[derive(Clone, Debug)]
pub(super) struct RamStatement<'a> {
    pub(super) sid: Option<Located<&'a str>>,
    pub(super) effect: PolicyEffect,
    pub(super) principals: Option<Texts<'a>>,
    pub(super) actions: Texts<'a>,
    pub(super) resources: Texts<'a>,
    pub(super) conditions: Option<Located<Vec<RamCondition<'a>>>>,
}

/// What must hold of a request.
#[derive(Clone, Debug)]
pub(super) struct RamCondition<'a> {
    pub(super) operator: &'a str,
    pub(super) key: &'a str,
    pub(super) values: Texts<'a>,
}

/// The statements of a policy, with the place of their list.
pub(super) fn statements(root: &JsonNode) -> Result<Located<Vec<Located<RamStatement<'_>>>>, RamPolicyError> {
    let root = Cursor {
        at: root.at,
        path: "$".to_owned(),
        value: root,
    };
    root.only(&POLICY_FIELDS)?;
    let version = root.needed("Version")?.text()?;
    if version.value != VERSION {
        return Err(version.error(RamPolicyReason::Version(quoted(version.value))));
    }
    let all = root.needed("Statement")?;
    let statements = all
        .one_or_many()?
        .iter()
        .map(|one| Ok(one.with(statement(one)?)))
        .collect::<Result<Vec<_>, RamPolicyError>>()?;
    Ok(all.with(statements))
}

fn statement<'a>(cursor: &Cursor<'a>) -> Result<RamStatement<'a>, RamPolicyError> {
    cursor.only(&STATEMENT_FIELDS)?;
    let effect = cursor.needed("Effect")?.text()?;
    Ok(RamStatement {
        effect: match effect.value {
            "Allow" => PolicyEffect::Allow,
            "Deny" => PolicyEffect::Deny,
            other => return Err(effect.error(RamPolicyReason::Effect(quoted(other)))),
        },
        sid: cursor.member("Sid")?.map(|sid| sid.text()).transpose()?,
        principals: cursor
            .member("Principal")?
            .map(|principal| principals(&principal))
            .transpose()?,
        actions: cursor.needed("Action")?.texts()?,
        resources: cursor.needed("Resource")?.texts()?,
        conditions: cursor
            .member("Condition")?
            .map(|condition| conditions(&condition))
            .transpose()?,
    })
}

fn principals<'a>(cursor: &Cursor<'a>) -> Result<Texts<'a>, RamPolicyError> {
    let everybody = |text: &Located<&str>| match text.value {
        "*" => Err(text.error(RamPolicyReason::Everybody)),
        _ => Ok(()),
    };
    if let JsonValue::Text(_) = cursor.value.value {
        everybody(&cursor.text()?)?;
    }
    for member in cursor.object("an object with `RAM`")? {
        if member.name != "RAM" {
            let kind = RamPolicyReason::PrincipalKind(quoted(&member.name));
            return Err(cursor.at_member(member).error(kind));
        }
    }
    let texts = cursor.needed("RAM")?.texts()?;
    texts.value.iter().try_for_each(everybody)?;
    Ok(texts)
}

fn conditions<'a>(cursor: &Cursor<'a>) -> Result<Located<Vec<RamCondition<'a>>>, RamPolicyError> {
    let mut all = Vec::new();
    for operator in cursor.object("an object of operators")? {
        let keys = cursor.at_member(operator);
        let members = keys.object("an object of keys")?;
        if members.is_empty() {
            return Err(keys.error(RamPolicyReason::Empty));
        }
        for key in members {
            all.push(RamCondition {
                operator: &operator.name,
                key: &key.name,
                values: keys.at_member(key).texts()?,
            });
        }
    }
    Ok(cursor.with(all))
}

/// A value of the document.
type Cursor<'a> = Located<&'a JsonNode>;

impl<'a> Located<&'a JsonNode> {
    fn at_member(&self, member: &'a JsonMember) -> Cursor<'a> {
        Located {
            at: member.at,
            path: format!("{}{}", self.path, member_path(&member.name)),
            value: &member.node,
        }
    }

    fn object(&self, what: &'static str) -> Result<&'a [JsonMember], RamPolicyError> {
        match &self.value.value {
            JsonValue::Object(members) => Ok(members),
            _ => Err(self.error(RamPolicyReason::Type(what))),
        }
    }

    /// Refuses an object with other fields.
    fn only(&self, fields: &[&str]) -> Result<(), RamPolicyError> {
        for member in self.object("an object")? {
            if fields.contains(&member.name.as_str()) {
                continue;
            }
            let negated = NEGATED_FIELDS.into_iter().find(|field| *field == member.name);
            let reason = match negated {
                Some(field) => RamPolicyReason::Negated(field),
                None => RamPolicyReason::UnknownField(quoted(&member.name)),
            };
            return Err(self.at_member(member).error(reason));
        }
        Ok(())
    }

    fn member(&self, name: &str) -> Result<Option<Cursor<'a>>, RamPolicyError> {
        let mut members = self.object("an object")?.iter();
        let member = members.find(|member| member.name == name);
        Ok(member.map(|member| Located {
            // Of the value rather than of the name: that is what is right or wrong from here on.
            at: member.node.at,
            ..self.at_member(member)
        }))
    }

    fn needed(&self, name: &'static str) -> Result<Cursor<'a>, RamPolicyError> {
        self.member(name)?
            .ok_or_else(|| self.error(RamPolicyReason::Missing(name)))
    }

    fn text(&self) -> Result<Located<&'a str>, RamPolicyError> {
        match &self.value.value {
            JsonValue::Text(text) => Ok(self.with(text.as_str())),
            _ => Err(self.error(RamPolicyReason::Type("a text"))),
        }
    }

    /// The values of a list, or the one in the place of a list.
    fn one_or_many(&self) -> Result<Vec<Cursor<'a>>, RamPolicyError> {
        let JsonValue::List(nodes) = &self.value.value else {
            return Ok(vec![self.with(self.value)]);
        };
        if nodes.is_empty() {
            return Err(self.error(RamPolicyReason::Empty));
        }
        let nodes = nodes.iter().enumerate();
        Ok(nodes
            .map(|(index, node)| Located {
                at: node.at,
                path: format!("{}[{index}]", self.path),
                value: node,
            })
            .collect())
    }

    fn texts(&self) -> Result<Texts<'a>, RamPolicyError> {
        if !matches!(self.value.value, JsonValue::Text(_) | JsonValue::List(_)) {
            return Err(self.error(RamPolicyReason::Type("a text or a list of texts")));
        }
        let values = self.one_or_many()?;
        let texts = values.iter().map(|value| value.text());
        Ok(self.with(texts.collect::<Result<_, _>>()?))
    }
}
