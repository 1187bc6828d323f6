import Testing

/// One text for the scanner.
struct Specimen: Sendable, CustomTestStringConvertible {
    let name: String
    let bytes: [UInt8]

    init(_ name: String, _ text: String) {
        self.name = name
        self.bytes = Array(text.utf8)
    }

    init(_ name: String, bytes: [UInt8]) {
        self.name = name
        self.bytes = bytes
    }

    /// A string whose content is these bytes.
    static func inString(_ name: String, _ content: [UInt8]) -> Specimen {
        Specimen(name, bytes: [0x5B, 0x22] + content + [0x22, 0x5D])
    }

    var testDescription: String { name }
}

/// Texts that a strict reader takes.
let acceptable: [Specimen] = [
    Specimen("empty object", "{}"), Specimen("empty array", "[]"),
    Specimen("empty string", #""""#), Specimen("lonely true", "true"),
    Specimen("lonely false", "false"), Specimen("lonely null", "null"),
    Specimen("lonely number", "7"), Specimen("lonely string", #""a""#),
    Specimen("space around", " \t\r\n{ } \t\r\n"),
    Specimen("space everywhere", "{ \"a\" :\t[ 1 ,\n2 ] ,\r\"b\" : null }"),
    Specimen("zero", "[0]"), Specimen("negative", "[-1]"),
    Specimen("largest safe", "[9007199254740991]"),
    Specimen("smallest safe", "[-9007199254740991]"),
    Specimen("all escapes", #"["\"\\\/\b\f\n\r\t"]"#), Specimen("escaped letter", #"["\u0061"]"#),
    Specimen("escaped NUL", #"["\u0000"]"#), Specimen("escape in upper case", #"["\u00E9\u00e9"]"#),
    Specimen("surrogate pair", #"["\uD83D\uDE00"]"#), Specimen("last pair", #"["\uDBFF\uDFFF"]"#),
    Specimen("escaped noncharacter", #"["\uFFFF"]"#),
    Specimen("escaped backslash and u", #"["\\u0000"]"#),
    Specimen("escape at the end", #"["a\n"]"#), Specimen("escape at the start", #"["\na"]"#),
    Specimen("two bytes", "[\"é\"]"), Specimen("three bytes", "[\"€\"]"),
    Specimen("four bytes", "[\"😀\"]"),
    Specimen("delete is not a control of JSON", "[\"\u{7F}\"]"),
    Specimen("byte-order mark inside", "[\"\u{FEFF}\"]"),
    Specimen("line separator", "[\"\u{2028}\"]"),
    Specimen("raw noncharacter", "[\"\u{FFFF}\"]"),
    Specimen("escape after raw bytes", "[\"é\\n€\"]"),
    Specimen("nested empties", "[[],{},[[]],{\"a\":{}}]"), Specimen("empty name", #"{"":0}"#),
    Specimen("names that differ by case", #"{"a":1,"A":2}"#),
    Specimen("names that differ by normal form", "{\"\u{E9}\":1,\"e\u{301}\":2}"),
    Specimen("kelvin is not K", "{\"K\":1,\"\u{212A}\":2}"),
    Specimen("same name at two levels", #"{"a":{"a":{"a":1}}}"#),
    Specimen("same name in two elements", #"[{"a":1},{"a":2}]"#),
    Specimen("quoted braces", #"["{","}","[","]",",",":"]"#),
    Specimen(
        "32 deep arrays", String(repeating: "[", count: 32) + String(repeating: "]", count: 32)),
    Specimen(
        "32 deep objects",
        String(repeating: "{\"a\":", count: 31) + "{}" + String(repeating: "}", count: 31)),
    Specimen("40 names", "{" + (0..<40).map { "\"n\($0)\":\($0)" }.joined(separator: ",") + "}"),
    Specimen("1,000 elements", "[" + (0..<1000).map(String.init).joined(separator: ",") + "]"),
    Specimen("long string", "[\"" + String(repeating: "x", count: 100_000) + "\"]"),
    Specimen("words in order", "[true,false,null]"),
]

/// Texts that a strict reader refuses; each with the pointer of its first fault.
let refusable: [(Specimen, String)] =
    structureFaults + wordFaults + numberFaults + stringFaults + encodingFaults + nameFaults

private let structureFaults: [(Specimen, String)] = [
    (Specimen("nothing", ""), ""), (Specimen("only space", "  \n"), ""),
    (Specimen("open array", "["), "/0"), (Specimen("open object", "{"), ""),
    (Specimen("open array after value", "[1"), "/1"), (Specimen("open after comma", "[1,"), "/1"),
    (Specimen("open object after name", #"{"a""#), "/a"), (Specimen("no value", #"{"a":"#), "/a"),
    (Specimen("open object after value", #"{"a":1"#), ""),
    (Specimen("after comma", #"{"a":1,"#), ""),
    (Specimen("trailing comma in array", "[1,]"), "/1"),
    (Specimen("trailing comma in object", #"{"a":1,}"#), ""),
    (Specimen("leading comma in array", "[,1]"), "/0"), (Specimen("only a comma", "[,]"), "/0"),
    (Specimen("leading comma in object", #"{,"a":1}"#), ""),
    (Specimen("double comma in array", "[1,,2]"), "/1"),
    (Specimen("double comma in object", #"{"a":1,,"b":2}"#), ""),
    (Specimen("missing comma in array", "[1 2]"), "/1"),
    (Specimen("missing comma in object", #"{"a":1 "b":2}"#), ""),
    (Specimen("missing colon", #"{"a" 1}"#), "/a"), (Specimen("double colon", #"{"a"::1}"#), "/a"),
    (Specimen("comma for colon", #"{"a",1}"#), "/a"),
    (Specimen("colon in array", #"["a":1]"#), "/1"),
    (Specimen("array ends as object", "[1}"), "/1"),
    (Specimen("object ends as array", #"{"a":1]"#), ""),
    (Specimen("lonely end of array", "]"), ""), (Specimen("lonely end of object", "}"), ""),
    (Specimen("end too many", "[]]"), ""), (Specimen("two values", "{}{}"), ""),
    (Specimen("two words", "true false"), ""), (Specimen("text behind", #"{"a":1}x"#), ""),
    (Specimen("comment behind", "{}//"), ""), (Specimen("comment before", "/**/{}"), ""),
    (Specimen("comment inside", #"{"a":/**/1}"#), "/a"), (Specimen("hash comment", "# a\n{}"), ""),
    (Specimen("NUL behind", "{}\0"), ""), (Specimen("semicolon behind", "{};"), ""),
    (Specimen("33 deep", String(repeating: "[", count: 33)), String(repeating: "/0", count: 32)),
    (
        Specimen(
            "33 deep and closed",
            String(repeating: "[", count: 33) + String(repeating: "]", count: 33)),
        String(repeating: "/0", count: 32)
    ),
    (
        Specimen("100,000 open arrays", String(repeating: "[", count: 100_000)),
        String(repeating: "/0", count: 32)
    ),
    (
        Specimen("100,000 open objects", String(repeating: #"{"a":"#, count: 100_000)),
        String(repeating: "/a", count: 32)
    ),
    (Specimen("form feed as space", "\u{C}{}"), ""), (Specimen("no-break space", "\u{A0}{}"), ""),
    (Specimen("vertical tab inside", "[\u{B}1]"), "/0"),
]

private let wordFaults: [(Specimen, String)] = [
    (Specimen("cut true", "[tru]"), "/0"), (Specimen("cut null at the end", "nul"), ""),
    (Specimen("capital True", "[True]"), "/0"), (Specimen("capitals NULL", "[NULL]"), "/0"),
    (Specimen("word goes on", "[truely]"), "/1"), (Specimen("undefined", "[undefined]"), "/0"),
    (Specimen("NaN", "[NaN]"), "/0"), (Specimen("Infinity", "[Infinity]"), "/0"),
    (Specimen("minus Infinity", "[-Infinity]"), "/0"), (Specimen("single quotes", "['a']"), "/0"),
    (Specimen("bare word", "[a]"), "/0"), (Specimen("at sign", "[@]"), "/0"),
]

private let numberFaults: [(Specimen, String)] = [
    (Specimen("leading zero", "[01]"), "/0"), (Specimen("two zeros", "[00]"), "/0"),
    (Specimen("negative leading zero", "[-01]"), "/0"), (Specimen("minus zero", "[-0]"), "/0"),
    (Specimen("only a minus", "[-]"), "/0"), (Specimen("double minus", "[--1]"), "/0"),
    (Specimen("plus sign", "[+1]"), "/0"), (Specimen("leading point", "[.5]"), "/0"),
    (Specimen("trailing point", "[1.]"), "/0"), (Specimen("fraction", "[1.5]"), "/0"),
    (Specimen("fraction of zero", "[1.0]"), "/0"), (Specimen("exponent", "[1e2]"), "/0"),
    (Specimen("capital exponent", "[1E2]"), "/0"), (Specimen("exponent plus", "[1e+2]"), "/0"),
    (Specimen("empty exponent", "[1e]"), "/0"), (Specimen("empty signed exponent", "[1e-]"), "/0"),
    (Specimen("huge exponent", "[1e400]"), "/0"), (Specimen("zero exponent", "[0e1]"), "/0"),
    (Specimen("hexadecimal", "[0x10]"), "/1"), (Specimen("underscore", "[1_000]"), "/1"),
    (Specimen("beyond safe", "[9007199254740992]"), "/0"),
    (Specimen("below safe", "[-9007199254740992]"), "/0"),
    (Specimen("beyond 64 bits", "[9223372036854775808]"), "/0"),
    (Specimen("below 64 bits", "[-9223372036854775809]"), "/0"),
    (Specimen("100,000 digits", "[" + String(repeating: "9", count: 100_000) + "]"), "/0"),
    (Specimen("space in number", "[1 000]"), "/1"),
    (Specimen("full-width digit", "[\u{FF11}]"), "/0"),
    (Specimen("letter behind", "[1a]"), "/1"), (Specimen("minus and space", "[- 1]"), "/0"),
    (Specimen("two points", "[1.2.3]"), "/0"),
]

private let stringFaults: [(Specimen, String)] = [
    (Specimen("open string", "\"a"), ""), (Specimen("open string in array", "[\"a]"), "/0"),
    (Specimen("only a quote", "\""), ""), (Specimen("raw newline", "[\"a\nb\"]"), "/0"),
    (Specimen("raw tab", "[\"\t\"]"), "/0"), (Specimen("raw NUL", "[\"\0\"]"), "/0"),
    (Specimen("raw unit separator", "[\"\u{1F}\"]"), "/0"),
    (Specimen("raw newline after an escape", "[\"\\n\n\"]"), "/0"),
    (Specimen("escape x", #"["\x41"]"#), "/0"), (Specimen("escape zero", #"["\0"]"#), "/0"),
    (Specimen("escape quote", #"["\'"]"#), "/0"), (Specimen("escape space", #"["\ "]"#), "/0"),
    (Specimen("capital escape U", #"["\U0061"]"#), "/0"),
    (Specimen("three digits", #"["\u006"]"#), "/0"),
    (Specimen("no digits", #"["\u"]"#), "/0"), (Specimen("not hexadecimal", #"["\u00g0"]"#), "/0"),
    (Specimen("signed digits", #"["\u+061"]"#), "/0"),
    (Specimen("text ends in escape", #"["\"#), "/0"),
    (Specimen("text ends in digits", #"["\u00"#), "/0"),
    (Specimen("lone high half", #"["\uD800"]"#), "/0"),
    (Specimen("lone low half", #"["\uDC00"]"#), "/0"),
    (Specimen("halves swapped", #"["\uDE00\uD83D"]"#), "/0"),
    (Specimen("high half twice", #"["\uD83D\uD83D"]"#), "/0"),
    (Specimen("high half then letter", #"["\uD83Da"]"#), "/0"),
    (Specimen("high half then escape", #"["\uD83D\n"]"#), "/0"),
    (Specimen("high half then cut", #"["\uD83D\u"]"#), "/0"),
    (Specimen("lone half in a name", #"{"\uD800":1}"#), ""),
]

private let encodingFaults: [(Specimen, String)] = [
    (Specimen("byte-order mark", bytes: [0xEF, 0xBB, 0xBF, 0x7B, 0x7D]), ""),
    (Specimen("UTF-16 little", bytes: [0x7B, 0, 0x7D, 0]), ""),
    (Specimen("UTF-16 big", bytes: [0, 0x7B, 0, 0x7D]), ""),
    (Specimen("UTF-16 marked little", bytes: [0xFF, 0xFE, 0x7B, 0, 0x7D, 0]), ""),
    (Specimen("UTF-16 marked big", bytes: [0xFE, 0xFF, 0, 0x7B, 0, 0x7D]), ""),
    (Specimen("UTF-32", bytes: [0x7B, 0, 0, 0, 0x7D, 0, 0, 0]), ""),
    (Specimen.inString("lone continuation", [0x80]), "/0"),
    (Specimen.inString("cut two bytes", [0xC3]), "/0"),
    (Specimen.inString("cut three bytes", [0xE2, 0x82]), "/0"),
    (Specimen.inString("cut four bytes", [0xF0, 0x9F, 0x98]), "/0"),
    (Specimen.inString("overlong slash", [0xC0, 0xAF]), "/0"),
    (Specimen.inString("overlong three", [0xE0, 0x80, 0xAF]), "/0"),
    (Specimen.inString("overlong NUL", [0xC0, 0x80]), "/0"),
    (Specimen.inString("encoded surrogate", [0xED, 0xA0, 0x80]), "/0"),
    (Specimen.inString("encoded pair (CESU-8)", [0xED, 0xA0, 0xBD, 0xED, 0xB8, 0x80]), "/0"),
    (Specimen.inString("beyond Unicode", [0xF4, 0x90, 0x80, 0x80]), "/0"),
    (Specimen.inString("five bytes", [0xF8, 0x88, 0x80, 0x80, 0x80]), "/0"),
    (Specimen.inString("byte FF", [0xFF]), "/0"),
    (Specimen.inString("Latin-1", [0x61, 0xE9, 0x62]), "/0"),
    (Specimen.inString("bad after an escape", [0x5C, 0x6E, 0xFF]), "/0"),
    (Specimen.inString("cut by an escape", [0xC3, 0x5C, 0x6E, 0xA9]), "/0"),
    (Specimen("bad byte outside a string", bytes: [0x5B, 0xFF, 0x5D]), "/0"),
    (Specimen("bad name", bytes: [0x7B, 0x22, 0xFF, 0x22, 0x3A, 0x31, 0x7D]), ""),
]

private let nameFaults: [(Specimen, String)] = [
    (Specimen("twice", #"{"a":1,"a":2}"#), "/a"),
    (Specimen("twice the same", #"{"a":1,"a":1}"#), "/a"),
    (Specimen("twice by escape", #"{"a":1,"\u0061":2}"#), "/a"),
    (Specimen("twice by slash", #"{"/":1,"\/":2}"#), "/~1"),
    (Specimen("twice, inner", #"{"x":[{"b":1,"c":2,"b":3}]}"#), "/x/0/b"),
    (Specimen("twice, empty", #"{"":1,"":2}"#), "/"),
    (Specimen("twice by pair", "{\"😀\":1,\"\\uD83D\\uDE00\":2}"), "/😀"),
    (
        Specimen(
            "twice among forty",
            "{" + (0..<40).map { "\"n\($0)\":0" }.joined(separator: ",") + ",\"n3\":1}"), "/n3"
    ),
    (
        Specimen(
            "twice at the seventeenth",
            "{" + (0..<16).map { "\"n\($0)\":0" }.joined(separator: ",") + ",\"n15\":1}"), "/n15"
    ),
    (Specimen("number as a name", "{1:2}"), ""), (Specimen("bare name", "{a:1}"), ""),
    (Specimen("null as a name", "{null:1}"), ""), (Specimen("single-quoted name", "{'a':1}"), ""),
    (Specimen("array as a name", "{[]:1}"), ""),
    (Specimen("tilde is escaped", #"{"~/":01}"#), "/~0~1"),
]
