/// Why a request is answered with an error: the protocol's number, and a sentence for those clients
/// that agreed on replies that can carry one.
struct Refusal: Equatable {
    let error: WireError
    let sentence: StaticString

    static func == (left: Refusal, right: Refusal) -> Bool {
        left.error == right.error
            && left.sentence.utf8Start == right.sentence.utf8Start
    }

    static let unknownCommand = Refusal(
        error: .invalid, sentence: "This command is not known.")
    static let unknownFlags = Refusal(
        error: .invalid, sentence: "A flag of the request is not known for this command.")
    static let longRead = Refusal(
        error: .overflow, sentence: "A read is at most 32 MiB long.")
    static let longPayload = Refusal(
        error: .invalid, sentence: "A request carries at most 32 MiB of data.")
    static let beyondEnd = Refusal(
        error: .invalid, sentence: "The range reaches beyond the end of the export.")
    static let noSpaceBeyondEnd = Refusal(
        error: .noSpace, sentence: "The range reaches beyond the end of the export.")
    static let readOnly = Refusal(
        error: .notPermitted, sentence: "The export is read-only.")
    static let slowZero = Refusal(
        error: .notSupported, sentence: "Zeroing this range would be no faster than writing it.")
    static let flushOfRange = Refusal(
        error: .invalid, sentence: "A flush has no offset and no length.")
    static let noContext = Refusal(
        error: .invalid, sentence: "No metadata context was selected for this export.")
    static let emptyRange = Refusal(
        error: .invalid, sentence: "The range is empty.")
    static let noMemory = Refusal(
        error: .noMemory, sentence: "There is no memory for the data of this request now.")
    static let noSpace = Refusal(
        error: .noSpace, sentence: "There is no space left.")
    static let inputOutput = Refusal(
        error: .inputOutput, sentence: "The storage failed.")
    static let backupGone = Refusal(
        error: .invalid, sentence: "The backup that changes were asked against is gone.")
    static let gone = Refusal(
        error: .shutdown, sentence: "The export was withdrawn.")

    init(error: WireError, sentence: StaticString) {
        self.error = error
        self.sentence = sentence
    }

    /// The wire's word for a failure of the storage.
    init(_ failure: BlockFailure, of kind: BlockRequest.Kind) {
        switch failure {
        case .noSpace: self = .noSpace
        case .inputOutput: self = .inputOutput
        case .gone: self = .gone
        case .readOnly: self = .readOnly
        case .outOfRange:
            switch kind {
            case .write, .zero: self = .noSpaceBeyondEnd
            case .read, .flush: self = .beyondEnd
            }
        }
    }
}
