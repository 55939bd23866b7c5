namespace Gateway.Planning;

/// <summary>The keys of a <c>services</c> entry, flattened with dots, and the values each takes. Tags, Meta and files share it.</summary>
internal static class SettingGrammar
{
    /// <summary>Every key, also those that are not built yet.</summary>
    public static IReadOnlyList<string> Keys => [];

    /// <summary>Null when the value is fine, else what is wrong: what is allowed, or that the feature is not built yet.</summary>
    public static string? Check(string key, string value) => null;
}
