using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Gateway.Catalog;
using Gateway.Discovery.EmbeddedCatalog;

namespace Gateway.Control;

/// <summary>
/// The last twenty catalogs in force, a file each: a line with the checksum, then the content as JSON. Invariant: a file of that
/// name is whole and on the disk, or the reader finds out and takes the one before.
/// </summary>
/// <param name="directory">Made when it is first written to.</param>
internal sealed class LastKnownGoodFiles(string directory)
{
    /// <summary>Generations kept.</summary>
    public const int GenerationsMax = 20;

    private const string Extension = ".json";
    private long _last = -1;

    /// <summary>The newest that is whole, or null. <paramref name="problems"/> names those that are not.</summary>
    public LastKnownGood? Load(out IReadOnlyList<Problem> problems)
    {
        List<Problem> found = [];
        problems = found;
        List<(long Number, string Path)> generations;
        try
        {
            generations = Generations();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            found.Add(Unusable(ProblemCodes.LastKnownGoodUnreadable, directory, e.Message, "no last known good is used; mend it, or remove the directory"));
            return null;
        }

        foreach ((long _, string path) in generations)
        {
            try
            {
                return Read(path);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException or JsonException)
            {
                found.Add(Unusable(ProblemCodes.LastKnownGoodCorrupt, path, e.Message, "the catalog before it is used instead"));
            }
        }

        return null;
    }

    /// <summary>Writes the next generation and removes those that are too old.</summary>
    /// <exception cref="IOException">It can't; what was there stays.</exception>
    /// <exception cref="UnauthorizedAccessException">Nor may it.</exception>
    public void Save(LastKnownGood good)
    {
        DirectoryInfo made = Directory.CreateDirectory(directory);
        if (_last < 0)
        {
            _last = Generations() is [var newest, ..] ? newest.Number : 0;
            foreach (FileInfo left in made.EnumerateFiles("*.tmp"))
            {
                left.Delete();
            }
        }

        // 1. Whole and on the disk under another name, then by that name: a crash leaves the old or the new.
        byte[] content = LastKnownGoodJson.Write(good);
        string path = Path.Combine(directory, (_last + 1).ToString("D10", CultureInfo.InvariantCulture) + Extension);
        string temporary = path + ".tmp";
        using (FileStream file = new(temporary, FileMode.Create, FileAccess.Write, FileShare.None))
        {
            file.Write(Encoding.ASCII.GetBytes(Header(content)));
            file.Write(content);
            file.Flush(flushToDisk: true);
        }

        if (good.Sources.Where(s => s.Reported).Select(s => (DateTimeOffset?)s.At).Min() is { } at)
        {
            File.SetLastWriteTimeUtc(temporary, at.UtcDateTime);
        }

        File.Move(temporary, path, overwrite: true);
        DirectoryFlush.Flush(directory);
        _last++;

        // 2. Only now the oldest go.
        foreach ((long _, string old) in Generations().Skip(GenerationsMax))
        {
            File.Delete(old);
        }
    }

    /// <summary>Notes that the sources still confirm the newest generation at <paramref name="at"/>.</summary>
    public void Confirm(DateTimeOffset at)
    {
        if (Generations() is [var newest, ..])
        {
            File.SetLastWriteTimeUtc(newest.Path, at.UtcDateTime);
        }
    }

    private static string Header(ReadOnlySpan<byte> content) =>
        $"{{\"sha256\":\"{Convert.ToHexStringLower(SHA256.HashData(content))}\",\"bytes\":{content.Length.ToString(CultureInfo.InvariantCulture)}}}\n";

    private static LastKnownGood Read(string path)
    {
        byte[] file = File.ReadAllBytes(path);
        int line = file.AsSpan().IndexOf((byte)'\n') + 1;
        ReadOnlySpan<byte> content = file.AsSpan(line);
        if (line == 0 || Encoding.ASCII.GetString(file, 0, line) != Header(content))
        {
            throw new JsonException("its checksum is wrong");
        }

        // While nothing changes nothing is written, but the file's time says how long its sources confirmed it.
        LastKnownGood good = LastKnownGoodJson.Read(content);
        DateTimeOffset confirmed = new(File.GetLastWriteTimeUtc(path), TimeSpan.Zero);
        return good with { Sources = [.. good.Sources.Select(s => s.Reported && s.At < confirmed ? s with { At = confirmed } : s)] };
    }

    /// <summary>What there is, newest first.</summary>
    private List<(long Number, string Path)> Generations() => !Directory.Exists(directory)
        ? []
        :
        [
            .. Directory.EnumerateFiles(directory, "*" + Extension)
                .Select(p => (Number: long.TryParse(
                    Path.GetFileNameWithoutExtension(p), NumberStyles.None, CultureInfo.InvariantCulture, out long n) ? n : -1, Path: p))
                .Where(g => g.Number >= 0)
                .OrderByDescending(g => g.Number),
        ];

    private static Problem Unusable(string code, string place, string seen, string now) => new()
    {
        Code = code,
        Place = place,
        Value = seen,
        Allowed = code == ProblemCodes.LastKnownGoodUnreadable ? "a readable directory" : "a readable file with a right checksum",
        Now = now,
    };
}
