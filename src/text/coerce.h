// Text of a tool's parameter → JSON value of the type that the tool's schema declares.
//
// The reference's rule: the declared types are tried in the order null, integer, number, boolean,
// object, array, string. If none fits and string is not among them, any JSON value is taken; else
// the text stays a string.
#pragma once

#include <string_view>

#include "checkpoint/json.h"

namespace godwit::text {

using checkpoint::Json;

struct SchemaTypes {
  bool null = false, integer = false, number = false, boolean = false, object = false,
       array = false, string = false;
  bool other = false;  // a type that JSON schema does not know

  // The text itself is the value, whatever it is: it can be passed on while it grows.
  bool is_text() const { return !is_typed() && !null; }
  // The same, unless it is "null".
  bool is_nullable_text() const { return !is_typed() && null && string; }

 private:
  bool is_typed() const { return integer || number || boolean || object || array || other; }
};

// Types that `schema` allows, from type, enum, const, anyOf, oneOf and allOf; references into
// `root` ("#/$defs/X") are followed. Null: nothing declared.
SchemaTypes schema_types(const Json* schema, const Json& root);

Json coerce(std::string_view text, const SchemaTypes& types);

}  // namespace godwit::text
