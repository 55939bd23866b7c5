using System.Buffers.Binary;
using System.Net;

namespace Gateway.DataPlane.Loops;

/// <summary>Addresses as the kernel has them: <c>sockaddr_in</c> and <c>sockaddr_in6</c>.</summary>
internal static class SocketAddresses
{
    /// <summary>Bytes of the longest.</summary>
    public const int BytesMax = 28;

    private const int V4Bytes = 16;

    /// <summary>Writes an address; returns its bytes.</summary>
    public static byte[] Of(IPEndPoint endPoint)
    {
        bool v4 = endPoint.AddressFamily == System.Net.Sockets.AddressFamily.InterNetwork;
        byte[] bytes = new byte[v4 ? V4Bytes : BytesMax];
        BinaryPrimitives.WriteUInt16LittleEndian(bytes, (ushort)(v4 ? Syscalls.InterNetwork : Syscalls.InterNetworkV6));
        BinaryPrimitives.WriteUInt16BigEndian(bytes.AsSpan(2), (ushort)endPoint.Port);
        if (v4)
        {
            endPoint.Address.TryWriteBytes(bytes.AsSpan(4), out _);
        }
        else
        {
            endPoint.Address.TryWriteBytes(bytes.AsSpan(8), out _);
            BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(24), (uint)endPoint.Address.ScopeId);
        }

        return bytes;
    }

    /// <summary>Family of an address.</summary>
    public static int FamilyOf(ReadOnlySpan<byte> address) => BinaryPrimitives.ReadUInt16LittleEndian(address);

    /// <summary>Reads an address; null where it is of another family.</summary>
    public static IPEndPoint? Read(ReadOnlySpan<byte> address)
    {
        if (address.Length >= V4Bytes && FamilyOf(address) == Syscalls.InterNetwork)
        {
            return new IPEndPoint(new IPAddress(address.Slice(4, 4)), BinaryPrimitives.ReadUInt16BigEndian(address[2..]));
        }

        if (address.Length >= BytesMax && FamilyOf(address) == Syscalls.InterNetworkV6)
        {
            IPAddress ip = new(address.Slice(8, 16), BinaryPrimitives.ReadUInt32LittleEndian(address[24..]));
            return new IPEndPoint(ip, BinaryPrimitives.ReadUInt16BigEndian(address[2..]));
        }

        return null;
    }
}
