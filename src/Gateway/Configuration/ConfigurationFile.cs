using System.Globalization;
using System.Text;

namespace Gateway.Configuration;

/// <summary>
/// From a YAML file, variables and switches to options. Steps: bytes → text → tree with places → variables laid over it →
/// values by the schema → rules between values → options. Every step reports all it finds; options exist only without errors.
/// </summary>
internal static class ConfigurationFile
{
    // Four thousand services with ten settings each are about 1 MiB; a device or a dump given by mistake must not fill memory.
    private const int BytesMax = 16 * 1024 * 1024;

    /// <summary>Reads a file; with null, only variables and switches count.</summary>
    public static ConfigurationResult Load(
        string? path,
        IReadOnlyDictionary<string, string> environment,
        IReadOnlyList<ConfigurationOverride> commandLine)
    {
        if (path is null)
        {
            return Parse("", "default", Directory.GetCurrentDirectory(), environment, commandLine) with { File = null };
        }

        DiagnosticList diagnostics = new();
        string folder;
        string? text;
        try
        {
            folder = Path.GetDirectoryName(Path.GetFullPath(path)) ?? "/";
            text = Text(path, diagnostics);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            string reason = Directory.Exists(path) ? "it is a directory" : NamedFiles.Reason(e);
            diagnostics.Error(new Place(path.Length == 0 ? "--config" : path), $"cannot be read: {reason}");
            return new ConfigurationResult { File = path, Unreadable = true, Diagnostics = diagnostics.InOrder() };
        }

        return text is null
            ? new ConfigurationResult { File = path, Diagnostics = diagnostics.InOrder() }
            : Parse(text, path, folder, environment, commandLine);
    }

    /// <summary>Reads text.</summary>
    /// <param name="text">The YAML.</param>
    /// <param name="name">Name of the file in places.</param>
    /// <param name="folder">Where relative paths start.</param>
    /// <param name="environment">Variables.</param>
    /// <param name="commandLine">Switches.</param>
    public static ConfigurationResult Parse(
        string text,
        string name,
        string folder,
        IReadOnlyDictionary<string, string> environment,
        IReadOnlyList<ConfigurationOverride> commandLine)
    {
        DiagnosticList diagnostics = new();
        if (YamlTreeReader.Read(text, name, diagnostics) is not { } root)
        {
            return new ConfigurationResult { File = name, Diagnostics = diagnostics.InOrder() };
        }

        new Overlay(root, diagnostics).Apply(environment, commandLine);
        SchemaReader read = new(diagnostics, folder);
        read.Read(root);
        new ConfigurationRules(read, diagnostics).Check();
        return new ConfigurationResult
        {
            File = name,
            Options = diagnostics.HasErrors ? null : OptionsBuilder.Build(read),
            Diagnostics = diagnostics.InOrder(),
            Values = [.. read.Values.Select(v => new EffectiveValue(v.Key, v.Value.Text, v.Value.Place.ToString()))],
            KeysChecked = read.KeysChecked,
        };
    }

    private static string? Text(string path, DiagnosticList diagnostics)
    {
        // Not File.ReadAllBytes: /dev/stdin and <(…) have no length.
        using FileStream file = new(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        using MemoryStream bytes = new();
        byte[] buffer = new byte[64 * 1024];
        for (int read; (read = file.Read(buffer)) > 0;)
        {
            bytes.Write(buffer, 0, read);
            if (bytes.Length > BytesMax)
            {
                diagnostics.Error(new Place(path, 1, 1), $"larger than {BytesMax / 1024 / 1024} MiB; is this a configuration file?");
                return null;
            }
        }

        ReadOnlySpan<byte> content = bytes.GetBuffer().AsSpan(0, (int)bytes.Length);
        if (content.StartsWith(Encoding.UTF8.Preamble))
        {
            content = content[Encoding.UTF8.Preamble.Length..];
        }

        try
        {
            return new UTF8Encoding(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true).GetString(content);
        }
        catch (DecoderFallbackException e)
        {
            ReadOnlySpan<byte> before = content[..Math.Clamp(e.Index, 0, content.Length)];
            int line = before.Count((byte)'\n') + 1;
            int column = Encoding.UTF8.GetCharCount(before[(before.LastIndexOf((byte)'\n') + 1)..]) + 1;
            string value = e.BytesUnknown is { Length: > 0 } unknown ? unknown[0].ToString("x2", CultureInfo.InvariantCulture) : "?";
            diagnostics.Error(new Place(path, line, column), $"not UTF-8 (byte 0x{value}); save the file as UTF-8");
            return null;
        }
    }
}
